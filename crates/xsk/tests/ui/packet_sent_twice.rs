use sluicegate_xsk::Queue;

fn twice(queue: &mut Queue) {
    let _ = queue.turn(&mut |packet| {
        packet.transmit(60);
        packet.transmit(60);
    });
}

fn main() {
    let _ = twice;
}
