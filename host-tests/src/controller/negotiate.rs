//! The choice of the renderer, as Django REST framework makes it: by specificity of the Accept entries, ignoring
//! q-values.

use super::call::Call;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renderer {
    Text,
    Json,
    Html,
}

impl Renderer {
    /// Its name in `?format=`.
    fn format(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Html => "api",
        }
    }

    fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::Json => ("application", "json"),
            Self::Html => ("text", "html"),
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsatisfied {
    /// No renderer has the requested `?format=`.
    Format,
    /// No renderer matches the Accept header.
    Accept,
}

/// The renderer, and the `indent` of its Accept entry.
pub(super) fn negotiate(
    renderers: &[Renderer],
    call: &Call,
) -> Result<(Renderer, Option<usize>), Unsatisfied> {
    let format = call.parameter("format").filter(|format| !format.is_empty());
    let asked = |renderer: &&Renderer| format.as_ref().is_none_or(|have| have == renderer.format());
    let renderers: Vec<Renderer> = renderers.iter().filter(asked).copied().collect();
    if renderers.is_empty() {
        return Err(Unsatisfied::Format);
    }
    let accept = call.text_header("accept").unwrap_or_else(|| "*/*".to_owned());
    let entries: Vec<Entry<'_>> = accept.split(',').map(Entry::of).collect();
    (0..=Entry::MOST_SPECIFIC)
        .rev()
        .find_map(|specificity| {
            let entries = entries.iter().filter(|entry| entry.specificity() == specificity);
            let entries: Vec<_> = entries.collect();
            renderers.iter().find_map(|&renderer| {
                let entry = entries.iter().find(|entry| entry.matches(renderer))?;
                Some((renderer, entry.indent()))
            })
        })
        .ok_or(Unsatisfied::Accept)
}

/// One entry of an Accept header.
struct Entry<'a> {
    main: &'a str,
    sub: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Entry<'a> {
    const MOST_SPECIFIC: u8 = 3;

    fn of(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (main, sub) = media_type.split_once('/').unwrap_or((media_type, ""));
        let parameters = parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        Self { main, sub, parameters }
    }

    fn specificity(&self) -> u8 {
        match (self.main, self.sub) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ if self.parameters.iter().all(|(name, _)| *name == "q") => 2,
            _ => Self::MOST_SPECIFIC,
        }
    }

    fn matches(&self, renderer: Renderer) -> bool {
        let (main, sub) = renderer.media_type();
        [main, "*"].contains(&self.main) && [sub, "*"].contains(&self.sub)
    }

    fn indent(&self) -> Option<usize> {
        let indent = self.parameters.iter().find(|(name, _)| *name == "indent")?;
        indent.1.parse().ok().map(|indent: usize| indent.min(8))
    }
}
