//! Where a client comes from, as far as it cannot change that at will.

use std::net::{IpAddr, SocketAddr};

/// The network of Envoy's `source.address` (`192.0.2.1:80`, `[2001:db8::1]:80`): an IPv4 address, or the first 64 bits of
/// an IPv6 one, since a subscriber has all that begin so. What is neither, such as the path of a socket, is its own.
#[must_use]
pub fn network(source: &[u8]) -> Vec<u8> {
    let address = std::str::from_utf8(source).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    match address.map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().iter().take(8).copied().collect(),
        None => source.to_vec(),
    }
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
