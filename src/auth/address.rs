//! Where a client comes from, as far as it cannot change that at will.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The network of Envoy's `source.address` (`192.0.2.1:80`, `[2001:db8::1]:80`): an IPv4 address, or the first 64 bits of
/// an IPv6 one, since a subscriber has all that begin so. What is neither, such as the path of a socket, is its own.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_makes_no_difference_nor_does_the_half_of_an_address_that_is_the_clients_own() {
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
}
