//! A client's network address, reduced to the part that the client cannot change at will.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The network of Envoy's `source.address` (`192.0.2.1:80`, `[2001:db8::1]:80`): an IPv4 address, or the first 64 bits of
/// an IPv6 address, since a subscriber can use all addresses of that prefix. Any other value, such as the path of a socket,
/// is returned as it is.
#[must_use]
pub fn network(source: &[u8]) -> Vec<u8> {
    let port = source.iter().rposition(|&byte| byte == b':').unwrap_or(source.len());
    let host =
        source.get(..port).and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = inner.parse::<Ipv6Addr>() {
        let [a, b, c, d, e, f, g, h, ..] = address.octets();
        let v4 = address.to_ipv4_mapped().map(|address| address.octets().to_vec());
        return v4.unwrap_or_else(|| vec![a, b, c, d, e, f, g, h]);
    }
    inner.parse::<Ipv4Addr>().map_or_else(|_| source.to_vec(), |address| address.octets().to_vec())
}

/// Returns true if Envoy read the address from a header: only the address of a connection has a port.
#[must_use]
pub fn has_no_port(source: &[u8]) -> bool {
    source.ends_with(b":0")
}

/// Returns true if Envoy's `source.address` is the last entry of `x-forwarded-for`, which the client or a proxy in front of
/// Envoy sent.
///
/// By default, `use_remote_address` is off: Envoy takes every client's address from this entry, and does not extend the
/// header. If it is on, Envoy appends the connection's address; with trusted hops, the client's address is an earlier
/// entry. No property contains the connection's own address (Envoy 1.36.2 and 1.40.0).
#[must_use]
pub fn is_last_forwarded(source: &[u8], x_forwarded_for: &[u8]) -> bool {
    let last = x_forwarded_for.rsplit(|&byte| byte == b',').next().unwrap_or_default();
    let mut with_port = match last.trim_ascii() {
        last if last.contains(&b':') && !last.starts_with(b"[") => [b"[", last, b"]"].concat(),
        last => last.to_vec(),
    };
    with_port.extend_from_slice(b":0");
    network(&with_port) == network(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_and_the_host_part_of_an_ipv6_address_do_not_change_the_network() {
        for (one, other, same) in [
            ("192.0.2.1:80", "192.0.2.1:65535", true),
            ("192.0.2.1:80", "192.0.2.2:80", false),
            ("192.0.2.1:80", "[::ffff:192.0.2.1]:80", true),
            ("[2001:db8:0:1::1]:80", "[2001:db8:0:1:ffff::2]:81", true),
            ("[2001:db8:0:1::1]:80", "[2001:db8:0:2::1]:80", false),
            ("/run/envoy.sock", "/run/other.sock", false),
            ("", "192.0.2.1:80", false),
        ] {
            let networks = [one, other].map(|address| network(address.as_bytes()));
            assert_eq!(networks[0] == networks[1], same, "{one} {other}");
        }
        assert_eq!(network(b"\xff"), b"\xff");
    }

    #[test]
    fn an_address_that_the_client_sent_is_told_apart_from_one_that_a_trusted_hop_sent() {
        for (source, header, expected) in [
            ("192.0.2.1:0", "192.0.2.1", true),
            ("192.0.2.1:0", "198.51.100.9, 192.0.2.1", true),
            ("[2001:db8::1]:0", "2001:db8::1", true),
            ("[2001:db8::1]:0", "[2001:db8::1]", true),
            // A trusted hop wrote the first entry, Envoy the second.
            ("192.0.2.1:0", "192.0.2.1, 198.51.100.9", false),
            ("192.0.2.1:0", "", false),
        ] {
            assert!(has_no_port(source.as_bytes()));
            assert_eq!(
                is_last_forwarded(source.as_bytes(), header.as_bytes()),
                expected,
                "{header}"
            );
        }
        assert!(!has_no_port(b"192.0.2.1:40000") && !has_no_port(b"/run/envoy.sock"));
    }
}
