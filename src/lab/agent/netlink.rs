//! Network devices over rtnetlink(7): creating, bringing up, assigning an address, deleting.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::predict::errno_name;

// include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, netlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;

/// Creates a device of this type: `ip link add NAME type KIND`.
pub(super) fn add(name: &str, kind: &str) -> Result<(), String> {
    let mut info = Vec::new();
    attribute(&mut info, IFLA_INFO_KIND, kind.as_bytes());
    let mut body = link(0, 0, 0);
    attribute(&mut body, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
    attribute(&mut body, IFLA_LINKINFO, &info);
    ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Deletes a device: `ip link del`.
pub(super) fn delete(index: u32) -> Result<(), String> {
    ask(RTM_DELLINK, 0, &link(index, 0, 0))
}

/// Brings a device up: `ip link set up`.
pub(super) fn up(index: u32) -> Result<(), String> {
    ask(RTM_NEWLINK, 0, &link(index, IFF_UP, IFF_UP))
}

/// Assigns an address with a 24-bit prefix: `ip addr add ADDRESS/24`.
pub(super) fn address(index: u32, address: [u8; 4]) -> Result<(), String> {
    let mut body = vec![AF_INET, 24, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &address);
    attribute(&mut body, IFA_ADDRESS, &address);
    ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [index, flags, change] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// `struct rtattr` with padding to a multiple of four bytes.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Sends a request, and waits for the answer.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Result<(), String> {
    let words = |e: rustix::io::Errno| errno_name(e.raw_os_error()).into_owned();
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).map_err(words)?;
    let mut message = ((body.len() + 16) as u32).to_ne_bytes().to_vec();
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // Sequence number and port.
    message.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(body);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(words)?;
    let mut answer = [0; 4096];
    let (_, len) = recv(&socket, &mut answer[..], RecvFlags::empty()).map_err(words)?;
    let answer = answer.get(..len).unwrap_or_default();
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let errno = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, errno) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(errno)) => Err(errno_name(-errno).into_owned()),
        _ => Err("an answer of an unknown type".to_owned()),
    }
}
