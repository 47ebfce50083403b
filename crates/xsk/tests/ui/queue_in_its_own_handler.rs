use sluicegate_xsk::Queue;

fn again(queue: &mut Queue) {
    let _ = queue.turn(&mut |packet| {
        drop(packet);
        let _ = queue.flush();
    });
}

fn main() {
    let _ = again;
}
