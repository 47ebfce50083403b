use sluicegate_xsk::Queue;

fn keep<'a>(queue: &mut Queue, kept: &mut Vec<&'a mut [u8]>) {
    let _ = queue.turn(&mut |mut packet| kept.push(packet.window()));
}

fn main() {
    let _ = keep;
}
