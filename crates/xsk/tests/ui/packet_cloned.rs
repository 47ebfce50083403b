use sluicegate_xsk::Queue;

fn both(queue: &mut Queue) {
    let _ = queue.turn(&mut |packet| {
        let other = packet.clone();
        packet.transmit(60);
        other.transmit(60);
    });
}

fn main() {
    let _ = both;
}
