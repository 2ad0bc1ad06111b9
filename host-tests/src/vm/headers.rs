//! Header maps as in the ABI: an ordered list of names in lower case and values of any bytes.

/// Headers or trailers, pseudo-headers (`:path`) included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The first value of this name, which is the only one that a module's getter returns.
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// All values of this name.
    pub fn all(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let name = canonical(name);
        self.iter().filter(move |(have, _)| *have == name).map(|(_, value)| value)
    }

    /// Appends a header.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((canonical(name.as_ref()), value.as_ref().to_vec()));
    }

    /// Leaves one header of this name, in the position of the first.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = canonical(name.as_ref());
        let Some(place) = self.0.iter().position(|(have, _)| *have == name) else {
            return self.add(name, value);
        };
        self.remove(&name);
        self.0.insert(place.min(self.0.len()), (name, value.as_ref().to_vec()));
    }

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: &[u8]) {
        let name = canonical(name);
        self.0.retain(|(have, _)| *have != name);
    }

    /// The length of all names and values, Envoy's `byteSize`.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The ABI's encoding: the number of headers, the lengths of each, then names and values, each followed by a zero.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = length(self.len());
        for (name, value) in self.iter() {
            bytes.extend(length(name.len()));
            bytes.extend(length(value.len()));
        }
        for (name, value) in self.iter() {
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    /// Decodes the ABI's encoding. As in Envoy's host, malformed bytes give no headers at all.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        parse(bytes).unwrap_or_default()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in lines {
            headers.add(name, value);
        }
        headers
    }
}

/// The name in lower case. As in Envoy, `host` is another name of `:authority`.
fn canonical(name: &[u8]) -> Vec<u8> {
    match name.to_ascii_lowercase() {
        name if name == b"host" => b":authority".to_vec(),
        name => name,
    }
}

fn length(of: usize) -> Vec<u8> {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes().to_vec()
}

fn parse(bytes: &[u8]) -> Option<Headers> {
    let (count, mut sizes) = number(bytes)?;
    let mut texts = sizes.get(count.checked_mul(8)?..)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let (name, rest) = number(sizes)?;
        let (value, rest) = number(rest)?;
        sizes = rest;
        let (name, rest) = text(texts, name)?;
        let (value, rest) = text(rest, value)?;
        texts = rest;
        headers.add(name, value);
    }
    texts.is_empty().then_some(headers)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let (zero, rest) = rest.split_first()?;
    (*zero == 0).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_as_they_were_written() {
        let headers = Headers::from_iter([(":path", &b"/"[..]), ("x", b"\xff\0"), ("x", b"")]);
        assert_eq!(Headers::from_bytes(&headers.to_bytes()), headers);
    }

    #[test]
    fn a_truncated_map_has_no_headers() {
        let bytes = Headers::from_iter([("name", "value")]).to_bytes();
        for end in 0..bytes.len() {
            assert!(Headers::from_bytes(&bytes[..end]).is_empty(), "cut at {end}");
        }
        assert!(Headers::from_bytes(&[0xff; 12]).is_empty());
    }

    #[test]
    fn replacing_a_header_leaves_one_in_the_first_position() {
        let mut headers = Headers::from_iter([("a", "1"), ("b", "2"), ("a", "3")]);
        headers.replace("A", "4");
        assert_eq!(headers, Headers::from_iter([("a", "4"), ("b", "2")]));
    }
}
