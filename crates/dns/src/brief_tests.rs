use proptest::prelude::*;

use super::*;
use crate::stored::compiled;
use crate::{Query, RenderOptions, render, rtype};

const OPTIONS: RenderOptions<'static> = RenderOptions {
    age_secs: 3,
    limit_bytes: 1232,
    udp_size: 1400,
    recursion_available: true,
    ede: None,
    keepalive: None,
    nsid: None,
};

/// A query for this name, with what follows the ID in its header, and behind its name.
fn query(flags: [u8; 2], labels: &[Vec<u8>], opt: Option<(u16, u8)>) -> Vec<u8> {
    let mut msg = vec![0x12, 0x34, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0];
    msg.push(opt.is_some().into());
    for label in labels {
        msg.push(label.len() as u8);
        msg.extend(label);
    }
    msg.extend([0, 0, 1, 0, 1]);
    if let Some((size, flags)) = opt {
        msg.extend([0, 0, 41]);
        msg.extend(size.to_be_bytes());
        msg.extend([0, 0, flags, 0, 0, 0]);
    }
    msg
}

fn read(msg: &[u8]) -> Option<(Brief, BriefName)> {
    let mut name = BriefName([0xaa; MAX_NAME_BYTES]);
    Brief::read(msg, &mut name).map(|brief| (brief, name))
}

/// What is read briefly is read at length with the same result.
fn agree(msg: &[u8]) -> Result<bool, TestCaseError> {
    let Some((brief, name)) = read(msg) else {
        return Ok(false);
    };
    let query = Query::parse(msg);
    prop_assert!(query.is_ok(), "{query:?}");
    let query = query.unwrap();
    prop_assert_eq!(brief.name(&name), query.name.as_bytes());
    prop_assert_eq!(usize::from(brief.name_len()), query.name.as_bytes().len());
    let mut padded = query.name.as_bytes().to_vec();
    padded.resize(padded.len().next_multiple_of(8), 0);
    prop_assert_eq!(brief.name_words(&name).as_flattened(), &padded);
    prop_assert_eq!(brief.last_labels_at, query.last_labels_at);
    prop_assert_eq!((brief.qtype, 1), (query.qtype, query.qclass));
    prop_assert_eq!(brief.body_at(), HEADER_BYTES + query.question_len);
    prop_assert_eq!(
        (brief.dnssec_ok, brief.checking_disabled()),
        (query.dnssec_ok(), query.cd)
    );
    prop_assert_eq!(usize::from(brief.udp_size), query.udp_limit(usize::MAX));
    let mut taken = Query::empty();
    taken.take(brief, &name, msg);
    prop_assert_eq!(taken, query);
    Ok(true)
}

fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8)
}

fn opt() -> impl Strategy<Value = Option<(u16, u8)>> {
    prop::option::of((any::<u16>(), prop::sample::select(&[0, 0x80][..])))
}

/// Stored, with so many addresses, and whether they are secure.
fn stored(count: u8, secure: bool) -> Vec<u8> {
    let mut msg = vec![0, 0, 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    msg.extend(b"\x01a\0\0\x01\0\x01");
    for last in 0..count {
        msg.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last]);
    }
    compiled(&msg, secure)
}

proptest! {
    #[test]
    fn any_octets(msg in prop::collection::vec(any::<u8>(), 0..120)) {
        agree(&msg)?;
    }

    #[test]
    fn good_queries_with_octets_changed(
        (labels, opt) in (labels(), opt()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        end in any::<prop::sample::Index>(),
    ) {
        let mut msg = query([1, 0], &labels, opt);
        for (at, octet) in changes {
            let at = at.index(msg.len());
            msg[at] = octet;
        }
        agree(&msg)?;
        agree(&msg[..end.index(msg.len())])?;
    }

    #[test]
    fn nearly_all_good_queries_are_brief(
        (labels, opt) in (labels(), opt()),
        flags in 0u8..=255,
    ) {
        let msg = query([1, flags], &labels, opt);
        let name_len = labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        prop_assert_eq!(agree(&msg)?, name_len <= MAX_NAME_BYTES);
    }

    #[test]
    fn replies_are_those_at_length(
        (labels, opt) in (labels(), opt()),
        flags in 0u8..=255,
        count in 0u8..90,
        secure in any::<bool>(),
        limit in 0usize..1600,
    ) {
        let msg = query([1, flags], &labels, opt);
        let Some((brief, _)) = read(&msg) else { return Ok(()) };
        let bytes = stored(count, secure);
        let stored = Stored::new(&bytes).unwrap();
        let query = Query::parse(&msg).unwrap();
        let mut buf = msg.clone();
        buf.resize(2000, 0x55);
        let mut other = buf.clone();
        let options = BriefOptions { age_secs: 3, limit_bytes: limit, udp_size: OPTIONS.udp_size };
        let len = brief.reply(stored, &options, &mut buf);
        let options = RenderOptions { limit_bytes: query.udp_limit(limit), ..OPTIONS };
        let rendered = render(stored, &query, &mut other, &options);
        if let Some(len) = len {
            prop_assert!(!rendered.truncated);
            prop_assert_eq!(&buf[..len], &other[..rendered.len]);
        } else {
            prop_assert!(rendered.truncated);
            prop_assert_eq!(&buf[..msg.len()], &msg);
        }
    }
}

#[test]
fn what_is_not_brief() {
    let labels = [b"www".to_vec(), b"example".to_vec()];
    let good = query([1, 0], &labels, None);
    assert!(read(&good).is_some_and(|(brief, _)| brief.qtype == rtype::A));
    // No RD, another opcode, cut, a response; two additional records; another class.
    for (at, octet) in [(2, 0), (2, 9), (2, 3), (2, 0x81), (11, 2), (10, 1)] {
        let mut msg = good.clone();
        msg[at] = octet;
        assert!(read(&msg).is_none(), "{at}");
    }
    let mut chaos = good.clone();
    *chaos.last_mut().unwrap() = 3;
    assert!(read(&chaos).is_none());
    // An option, and another version.
    for (from_end, octet) in [(1, 4), (5, 1)] {
        let mut msg = query([1, 0], &labels, Some((1232, 0)));
        let at = msg.len() - from_end;
        msg[at] = octet;
        msg.extend([0, 3, 0, 0]);
        assert!(read(&msg).is_none(), "{from_end}");
    }
}
