//! What is served: the sources' last good pages, and the gateway's own families behind them.
//!
//! A VM copies and parses a page only when its generation changed, and keeps what it rendered of it: of what did not
//! change nothing is parsed, rendered or copied again. Of the gateway's own families only the numbers are new in every
//! scrape; they are written behind the sources', in the same bytes as last time. It is the same with what is compressed.

mod own;
mod rendered;

use super::ScrapeRecorder;
use super::encoding::Encoding;
use crate::auth::{Permit, Visibility};
use crate::config::{Config, GatewayFamilyPolicy, Source};
use crate::exposition::form::{Draft, Form};
use crate::exposition::openmetrics::{self, Values};
use crate::exposition::protobuf::Native;
use crate::exposition::{Format, json, parse, protobuf, text};
use crate::host::{Host, Time};
use crate::limits;
use crate::metrics::{self, Merged, Page, PageBuilder, Part, Selection, Sink, merge};
use crate::shared::salt::salt;
use crate::shared::snapshot::{Head, Keys};
use own::{Own, State};
use rendered::{Key, Rendered, Rendering};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Gathers the pages of one configuration, in one VM.
pub struct Gatherer {
    config: Rc<Config>,
    keys: Vec<Keys>,
    loaded: RefCell<Vec<Loaded>>,
    rendered: RefCell<Rendered>,
    wanted: Cell<Time>,
    own: Own,
}

/// A source's page as this VM has it; generation 0 where it has none.
#[derive(Clone, Default)]
struct Loaded {
    generation: u64,
    page: Rc<Page>,
    /// When it was pulled, as the head said that named it: its age counts from here, whatever the head names since.
    succeeded: Time,
}

/// The sources as one scrape finds them.
struct Sources {
    /// None for those that may not be seen.
    heads: Vec<Option<Head>>,
    /// Generation 0 in place of the pages that may not be seen, or are too old.
    served: Vec<Loaded>,
    now: Time,
}

impl Gatherer {
    /// A gatherer that has nothing yet.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let salt = salt(host);
        let key = |source: &Source| source.key(&salt, |name| host.environment(name));
        let keys: Vec<Keys> = config.sources.iter().map(|source| Keys::new(&key(source))).collect();
        Self {
            loaded: RefCell::new(vec![Loaded::default(); keys.len()]),
            own: Own::new(&config, host),
            rendered: RefCell::default(),
            wanted: Cell::default(),
            config,
            keys,
        }
    }

    /// The page for who may see it, and whether it is compressed: a small one is not, whatever is asked for. It is
    /// written in place by the next scrape, if nobody holds it any more.
    pub fn page(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        permit: &Permit,
        selection: &Selection,
        (format, encoding): (Format, Encoding),
    ) -> (Encoding, Rc<Vec<u8>>) {
        let sources = self.sources(host, permit.view());
        let key = Key {
            format,
            selection: selection.clone(),
            view: Rc::clone(permit.view()),
            generations: sources.served.iter().map(|served| served.generation).collect(),
        };
        let rendering = self.rendered.borrow_mut().take(&key);
        let mut rendering = rendering.unwrap_or_else(|| self.pulled(&sources, &key));
        if selection.has_gateway_families() {
            self.add_own(host, recorder, &sources, &key, &mut rendering);
        }
        let compressed = match encoding {
            Encoding::Identity => None,
            Encoding::Gzip => rendering.compressed(),
        };
        let page = match compressed {
            Some(compressed) => (Encoding::Gzip, compressed),
            None => (Encoding::Identity, Rc::clone(&rendering.page)),
        };
        self.rendered.borrow_mut().keep(key, rendering);
        page
    }

    /// The sources' families.
    fn pulled(&self, sources: &Sources, key: &Key) -> Rendering {
        let merged = merge(&self.parts(sources, |_| false));
        let withheld = (0..sources.served.len()).map(|part| merged.dropped(part)).collect();
        let mut page =
            render(key, merged, metrics::GatewaySelection::None, (Values::Real, &[], None));
        if key.selection.has_gateway_families() {
            open(key.format, &mut page);
        } else {
            page.extend_from_slice(end(key.format));
        }
        Rendering {
            pulled: page.len(),
            page: Rc::new(page),
            withheld,
            own: Form::default(),
            compressed: None,
        }
    }

    /// Writes the gateway's families behind the sources'.
    fn add_own(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        sources: &Sources,
        key: &Key,
        rendering: &mut Rendering,
    ) {
        let Rendering { page, pulled, withheld, own: form, .. } = rendering;
        let states = self.states(sources, withheld);
        let write = |sink: &mut dyn Sink| {
            self.own.write(sink, &states);
            recorder.write(host, sink);
        };
        let created = || self.config.gateway_created.then(|| recorder.created(host)).flatten();
        let page = Rc::make_mut(page);
        if !has_forms(key.format) || self.keeps_any() {
            page.truncate(*pulled);
            let (own, natives) = if key.format == Format::Protobuf {
                let mut own = protobuf::Draft::default();
                write(&mut own);
                own.finish()
            } else {
                let mut own = PageBuilder::new();
                write(&mut own);
                (own.build(), Vec::new())
            };
            let own = self.render_own(&own, (Values::Real, &natives, created()), sources, key);
            return close(key.format, page, &own);
        }
        let mut numbers = form.numbers();
        write(&mut numbers);
        if !form.fits(&numbers) {
            // First, so that the new one can have its memory.
            *form = Form::default();
            let mut draft = Draft::default();
            write(&mut draft);
            let own;
            (own, numbers) = draft.finish();
            let mut text = self.render_own(&own, (Values::Places, &[], created()), sources, key);
            text.extend_from_slice(end(key.format));
            *form = Form::new(&text, &numbers);
        }
        form.fill(&numbers, page, *pulled);
    }

    /// The gateway's families, with what a source's page may bring along of the same names.
    fn render_own(&self, own: &Page, extras: Extras<'_>, sources: &Sources, key: &Key) -> Vec<u8> {
        let mut parts = vec![Part { page: own, labels: self.own.labels(), gateway_families: true }];
        parts.extend(self.parts(sources, keeps).into_iter().filter(|part| part.gateway_families));
        render(key, merge(&parts), metrics::GatewaySelection::Only, extras)
    }

    fn keeps_any(&self) -> bool {
        self.config.sources.iter().any(keeps)
    }

    fn sources(&self, host: &dyn Host, view: &Visibility) -> Sources {
        let now = host.now();
        self.want(host, now);
        let heads = self.keys.iter().enumerate().map(|(place, keys)| {
            let head = |keys: &Keys| keys.head(host).map(|read| read.head).unwrap_or_default();
            view.shows_source(place).then(|| head(keys))
        });
        let heads: Vec<_> = heads.collect();
        self.load(host, &heads);
        let served = self.served(&heads, now);
        Sources { heads, served, now }
    }

    fn served(&self, heads: &[Option<Head>], now: Time) -> Vec<Loaded> {
        let loaded = self.loaded.borrow();
        let fresh = |loaded: &Loaded, source: &Source| {
            loaded.generation > 0 && !is_old(loaded.succeeded, source, now)
        };
        let served = loaded.iter().zip(heads).zip(&self.config.sources);
        let served = served.map(|((loaded, head), source)| match head {
            Some(_) if fresh(loaded, source) => loaded.clone(),
            _ => Loaded::default(),
        });
        served.collect()
    }

    fn parts<'a>(&'a self, sources: &'a Sources, keeps: impl Fn(&Source) -> bool) -> Vec<Part<'a>> {
        let part = |(served, source): (&'a Loaded, &'a Source)| Part {
            page: &served.page,
            labels: &source.labels,
            gateway_families: keeps(source),
        };
        sources.served.iter().zip(&self.config.sources).map(part).collect()
    }

    /// What there is to say of the sources that may be seen.
    fn states<'a>(&'a self, sources: &'a Sources, withheld: &[metrics::Dropped]) -> Vec<State<'a>> {
        let known = sources.heads.iter().zip(&sources.served).zip(withheld);
        let states = self.config.sources.iter().zip(known).enumerate();
        let state = |(place, (source, ((head, served), &withheld)))| {
            let (head, served): (&'a Option<Head>, &Loaded) = (head, served);
            let head = head.as_ref()?;
            Some(State {
                source,
                head,
                unsent: self.own.problem(place),
                fresh: served.generation > 0,
                is_old: is_old(head.succeeded, source, sources.now),
                is_read: served.generation == head.generation,
                withheld,
            })
        };
        states.filter_map(state).collect()
    }

    /// Tells whoever pulls that the sources are wanted.
    fn want(&self, host: &dyn Host, now: Time) {
        let since = now.checked_sub(self.wanted.get());
        if since.is_none_or(|since| since >= limits::WANTED_EVERY) {
            self.wanted.set(now);
            for keys in &self.keys {
                keys.want(host, now);
            }
        }
    }

    /// Copies and parses the pages whose generation is another than the one at hand.
    fn load(&self, host: &dyn Host, heads: &[Option<Head>]) {
        let mut loaded = self.loaded.borrow_mut();
        for ((keys, head), loaded) in self.keys.iter().zip(heads).zip(loaded.iter_mut()) {
            let Some(head) = head else { continue };
            if head.generation == loaded.generation {
                loaded.succeeded = head.succeeded;
            } else if let Some(stored) = keys.page(host)
                // One that is stored before the head that names it is read with the next scrape.
                && stored.generation == head.generation
                && let Ok(page) = parse::canonical(stored.bytes)
            {
                let (generation, succeeded) = (stored.generation, head.succeeded);
                *loaded = Loaded { generation, page: Rc::new(page), succeeded };
            }
        }
    }
}

/// What stands for values, which families are native histograms, and since when there are counts.
type Extras<'a> = (Values, &'a [Native], Option<Time>);

fn keeps(source: &Source) -> bool {
    source.gateway_families == GatewayFamilyPolicy::Keep
}

/// Whether a page that was pulled then is too old to be served.
fn is_old(succeeded: Time, source: &Source, now: Time) -> bool {
    // One of the future can only come from a clock that was set back since: its age is not known.
    let is_of_now = succeeded <= now + limits::CLOCK_SLACK;
    !is_of_now || now.saturating_sub(succeeded) > source.stale_after
}

/// What of the families of one side is asked for and may be seen.
fn render(
    key: &Key,
    mut merged: Merged<'_>,
    gateway: metrics::GatewaySelection,
    (values, natives, created): Extras<'_>,
) -> Vec<u8> {
    let mut out = Vec::new();
    if key.view.families.is_some() {
        merged.retain(|name| key.view.shows_family(name));
    }
    let asked = key.selection.gateway;
    if asked != metrics::GatewaySelection::All && asked != gateway {
        merged.retain(|_| false);
    }
    let selection = Selection { gateway, ..key.selection.clone() };
    match key.format {
        Format::Text => text::render(&merged, &selection, &mut out),
        Format::Json { indent } => {
            json::render(&merged, &selection, indent.map(usize::from), &mut out);
        }
        Format::OpenMetrics => {
            openmetrics::render_since(&merged, &selection, (values, created), &mut out);
        }
        Format::Protobuf => {
            protobuf::render_since(&merged, &selection, (natives, created), &mut out);
        }
        Format::Html => {}
    }
    out
}

/// Whether a format is text line by line, whose numbers are filled in.
const fn has_forms(format: Format) -> bool {
    matches!(format, Format::Text | Format::OpenMetrics)
}

/// What stands behind the last family.
const fn end(format: Format) -> &'static [u8] {
    match format {
        Format::OpenMetrics => openmetrics::END,
        _ => b"",
    }
}

/// Takes off the end of the sources' families what is to stand behind the gateway's.
fn open(format: Format, page: &mut Vec<u8>) {
    if let Format::Json { .. } = format {
        let members = page.strip_suffix(b"}").unwrap_or(page).trim_ascii_end().len();
        page.truncate(members);
    }
}

/// Puts the gateway's families behind the sources', and the end behind both.
fn close(format: Format, page: &mut Vec<u8>, own: &[u8]) {
    match (format, own) {
        (Format::Json { .. }, b"{}") => page.push(b'}'),
        (Format::Json { .. }, [b'{', members @ ..]) => {
            if page != b"{" {
                page.push(b',');
            }
            page.extend_from_slice(members);
        }
        _ => [own, end(format)].iter().for_each(|part| page.extend_from_slice(part)),
    }
}

#[cfg(test)]
mod tests;
