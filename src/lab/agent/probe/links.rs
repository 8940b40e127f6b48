//! Network devices: are they created, do they come up, do they count packets, and can they be deleted?

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;

use crate::lab::agent::netlink;
use crate::lab::agent::probe::notes::{MOST, ProbeNotes, names as entries, outcome, read_little};

/// The number of packets sent over a device.
const PACKETS: usize = 3;

/// The existing devices. Some drivers put files into the same folder (bonding_masters).
pub(super) fn names() -> BTreeSet<String> {
    let folder = Path::new("/sys/class/net");
    entries("/sys/class/net").into_iter().filter(|name| folder.join(name).is_dir()).collect()
}

/// Uses the new devices. If there are none, one device of each link type is created.
pub(super) fn use_all(links: &[&String], kinds: &[String], seen: &mut ProbeNotes) {
    for (number, name) in links.iter().take(MOST).enumerate() {
        use_one(name, number, seen);
    }
    if !links.is_empty() {
        return;
    }
    for (number, kind) in kinds.iter().take(MOST).enumerate() {
        let name = format!("lab{number}");
        let made = netlink::add(&name, kind);
        seen.note(format!("a link of type {kind} is made"), as_words(&made));
        if made.is_ok() {
            use_one(&name, number, seen);
        }
    }
}

fn use_one(name: &str, number: usize, seen: &mut ProbeNotes) {
    let about = |what: &str| read_little(format!("/sys/class/net/{name}/{what}").as_ref());
    for what in ["mtu", "type", "addr_len"] {
        seen.note(format!("{name} {what}"), about(what));
    }
    let Ok(index) = about("ifindex").parse() else {
        seen.note(name, "has no number");
        return;
    };
    seen.note(format!("{name} gets an address"), as_words(&netlink::address(index, [192, 0, number as u8 + 2, 1])));
    seen.note(format!("{name} comes up"), as_words(&netlink::up(index)));
    let sent_before = counter(name);
    let sent = send([192, 0, number as u8 + 2, 2]);
    seen.note(format!("{name} is given {PACKETS} packets"), sent);
    let sent = counter(name).zip(sent_before).map(|(after, before)| after.wrapping_sub(before));
    seen.note(format!("{name} counts as sent"), sent.map_or("nothing".to_owned(), |sent| format!("{sent} packets")));
    seen.note(format!("{name} is deleted"), as_words(&netlink::delete(index)));
    seen.note(format!("{name} is still there"), if names().contains(name) { "yes" } else { "no" });
}

fn counter(name: &str) -> Option<u64> {
    read_little(format!("/sys/class/net/{name}/statistics/tx_packets").as_ref()).parse().ok()
}

/// Sends packets to an address in the device's own network that nobody has.
fn send(to: [u8; 4]) -> String {
    let send = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        (0..PACKETS).try_for_each(|_| socket.send_to(b"kmodlab", (std::net::Ipv4Addr::from(to), 9)).map(drop))
    };
    outcome(send())
}

fn as_words(result: &Result<(), String>) -> String {
    result.clone().map_or_else(|why| why, |()| "ok".to_owned())
}
