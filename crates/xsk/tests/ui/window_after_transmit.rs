use sluicegate_xsk::Queue;

fn late(queue: &mut Queue) {
    let _ = queue.turn(&mut |mut packet| {
        let window = packet.window();
        packet.transmit(60);
        window[0] = 1;
    });
}

fn main() {
    let _ = late;
}
