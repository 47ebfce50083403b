use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Root, Wanted};

/// A directory on the way to the pinned maps that the server, as another user than root, can't pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPath {
    /// The directory.
    pub directory: PathBuf,
    /// The user.
    pub user: String,
}

/// A user's number and those of its groups.
struct Ids {
    user: u32,
    groups: Vec<u32>,
}

impl ClosedPath {
    /// Looks at the path of `pinned-maps:` as the user of `username:` sees it. `None`: nothing is in the way, as far as can be
    /// told; users whom `/etc/passwd` doesn't know are not judged.
    pub(super) fn find(root: &Root, wanted: &Wanted) -> Option<Self> {
        let user = wanted.username.as_deref()?;
        let path = wanted.xdp.pinned_maps.as_deref()?;
        let ids = Ids::of(root, user)?;
        // The root itself, and then one part more each time.
        let mut all: Vec<&Path> = path.ancestors().collect();
        all.reverse();
        for directory in all {
            let name = directory.strip_prefix("/").unwrap_or(directory);
            let about = std::fs::metadata(root.path(&name.to_string_lossy())).ok()?;
            if !ids.may_pass(about.mode(), about.uid(), about.gid()) {
                return Some(Self {
                    directory: directory.to_owned(),
                    user: user.to_owned(),
                });
            }
        }
        None
    }
}

impl Ids {
    /// Of the lines of `passwd(5)` and `group(5)`.
    fn of(root: &Root, name: &str) -> Option<Self> {
        let passwd = root.text("etc/passwd")?;
        let own: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?;
        let number = |at: usize| own.get(at)?.parse::<u32>().ok();
        let mut groups = vec![number(3)?];
        for line in root.text("etc/group").unwrap_or_default().lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [_, _, gid, members, ..] = fields[..]
                && members.split(',').any(|member| member == name)
            {
                groups.extend(gid.parse::<u32>());
            }
        }
        Some(Self {
            user: number(2)?,
            groups,
        })
    }

    /// Whether a directory of this mode, owner and group lets them through.
    fn may_pass(&self, mode: u32, owner: u32, group: u32) -> bool {
        let bit = if self.user == owner {
            0o100
        } else if self.groups.contains(&group) {
            0o010
        } else {
            0o001
        };
        self.user == 0 || mode & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_that_the_user_cannot_pass() {
        let folder = std::env::temp_dir().join(format!("sluicegate-pins-{}", std::process::id()));
        let bpf = folder.join("sys/fs/bpf");
        fs::create_dir_all(bpf.join("maps")).unwrap();
        fs::create_dir_all(folder.join("etc")).unwrap();
        let group = fs::metadata(&bpf).unwrap().gid();
        let write = |members: &str| {
            fs::write(
                folder.join("etc/passwd"),
                "root:x:0:0::/:\ndns:x:424242:424242::/:\n",
            )
            .unwrap();
            let lines = format!("some:x:{group}:{members}\n");
            fs::write(folder.join("etc/group"), lines).unwrap();
        };
        let of = |user: &str, mode| {
            let maps = bpf.join("maps");
            for path in [&folder, &folder.join("sys"), &folder.join("sys/fs"), &maps] {
                fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
            }
            fs::set_permissions(&bpf, PermissionsExt::from_mode(mode)).unwrap();
            let mut wanted = Wanted {
                username: Some(user.into()),
                ..Wanted::default()
            };
            wanted.xdp.pinned_maps = Some("/sys/fs/bpf/maps".into());
            let closed = ClosedPath::find(&Root::new(&folder), &wanted);
            closed.map(|closed| closed.directory)
        };
        write("");
        let closed = Some(PathBuf::from("/sys/fs/bpf"));
        let alone = (of("dns", 0o700), of("dns", 0o710), of("dns", 0o711));
        write("daemon,dns");
        let in_group = (of("dns", 0o700), of("dns", 0o710));
        let others = (of("root", 0o700), of("nobody-knows", 0o700));
        fs::set_permissions(&bpf, PermissionsExt::from_mode(0o755)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(alone, (closed.clone(), closed.clone(), None));
        assert_eq!(in_group, (closed, None));
        assert_eq!(others, (None, None));
    }
}
