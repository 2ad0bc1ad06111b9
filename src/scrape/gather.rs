//! Gathers the page of a scrape: the sources' last good pages, followed by the gateway's own families.
//!
//! The sources' pages are stored parsed, labelled and indexed: a VM copies a page when its generation changed, selects
//! families by the index and copies their lines. The VM keeps its renderings, also compressed, so that nothing is
//! copied, rendered or compressed again while no page changes. Of the gateway's own families only the numbers are new
//! in every scrape; they are written after the sources' families, over those of the last scrape.
//!
//! Work on many samples is done in slices (`gather/job.rs`): the scrape then waits for ticks.

mod gateway_families;
mod job;
mod rendered;

use super::ScrapeRecorder;
use super::encoding::Encoding;
use crate::auth::{Permit, Visibility};
use crate::config::{Config, Credential, GatewayFamilyPolicy, Source};
use crate::exposition::template::{Template, TemplateBuilder};
use crate::exposition::{Extras, Format, Renderer, openmetrics, protobuf};
use crate::host::{Host, Time};
use crate::limits;
use crate::metrics::{Dropped, GatewaySelection, Page, PageBuilder, Part, Selection, Sink, merge};
use crate::shared::salt::salt;
use crate::shared::snapshot::{Head, Keys};
use gateway_families::{GatewayFamilies, SourceStatus};
use job::{Job, Slice, visible};
use rendered::{Rendered, Rendering, RenderingKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Gathers the pages of one configuration, in one VM.
pub struct Gatherer {
    config: Rc<Config>,
    keys: Vec<Keys>,
    loaded: RefCell<Vec<Loaded>>,
    rendered: RefCell<Rendered>,
    /// The work that a scrape waits for.
    job: RefCell<Option<(Job, Sources)>>,
    wanted: Cell<Time>,
    /// True once each source was pulled.
    all_pulled: Cell<bool>,
    own: GatewayFamilies,
}

/// A page and its encoding.
pub type Gathered = (Encoding, Rc<Vec<u8>>);

/// The page of a source in this VM; generation 0 without one.
#[derive(Clone, Default)]
struct Loaded {
    generation: u64,
    page: Rc<Page>,
    /// The time of its pull, from the first head that named it. Its age counts from this time, even if later heads name
    /// another.
    succeeded: Time,
}

/// The sources at the time of a scrape.
struct Sources {
    /// `None` for those that the client may not see.
    heads: Vec<Option<Head>>,
    /// Generation 0 in place of the pages that the client may not see, or that are too old.
    served: Vec<Loaded>,
    now: Time,
}

impl Sources {
    fn generations(&self) -> Vec<u64> {
        self.served.iter().map(|served| served.generation).collect()
    }

    /// Bytes of the served pages.
    fn bytes(&self) -> usize {
        self.served.iter().map(|served| served.page.as_text().len()).sum()
    }
}

impl Gatherer {
    /// A gatherer without pages.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let salt = salt(host);
        let key = |source: &Source| source.key(&salt, |name| host.environment(name));
        let keys: Vec<Keys> = config.sources.iter().map(|source| Keys::new(&key(source))).collect();
        Self {
            loaded: RefCell::new(vec![Loaded::default(); keys.len()]),
            own: GatewayFamilies::new(&config, host),
            rendered: RefCell::default(),
            job: RefCell::default(),
            wanted: Cell::default(),
            all_pulled: Cell::default(),
            config,
            keys,
        }
    }

    /// The page that a client may see, and its encoding: a small page is not compressed. The next scrape writes into
    /// the same memory, unless the page is still referenced.
    ///
    /// Returns `None` if that takes more work than one callback may do; [`Gatherer::advance`] does it.
    pub fn page(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        permit: &Permit,
        selection: &Selection,
        (format, encoding): (Format, Encoding),
    ) -> Option<Gathered> {
        let wanted = wanted(permit, selection, format);
        let heads = self.heads(host, &wanted.visibility);
        if self.bytes_to_load(&heads) > limits::INLINE_BYTES as u64 {
            return None;
        }
        self.load(host, &heads, usize::MAX);
        let sources = self.sources(host, heads);
        let is_small = sources.bytes() <= limits::INLINE_BYTES;
        let compress = encoding == Encoding::Gzip;
        let kept = self.rendered.borrow_mut().take(&wanted, &sources.generations());
        let mut job = match kept {
            Some(rendering) => Job::of(rendering),
            None if is_small => self.render(wanted, &sources),
            None => return None,
        };
        if is_small {
            job.advance(Slice::All, compress);
        } else if !job.is_complete(compress) {
            self.rendered.borrow_mut().keep(job.into_rendering());
            return None;
        }
        Some(self.complete(host, recorder, job.into_rendering(), &sources, encoding))
    }

    /// Does a slice of the work on a page, and returns the page when it is complete.
    pub fn advance(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        permit: &Permit,
        selection: &Selection,
        (format, encoding): (Format, Encoding),
    ) -> Option<Gathered> {
        let wanted = wanted(permit, selection, format);
        let under_way = self.job.borrow_mut().take_if(|(job, _)| *job.wanted() == wanted);
        let (mut job, sources) = match under_way {
            Some(under_way) => under_way,
            None => {
                let heads = self.heads(host, &wanted.visibility);
                if self.bytes_to_load(&heads) > 0 {
                    // First, so that the new page can have its memory.
                    self.rendered.borrow_mut().discard(&wanted.visibility);
                }
                if self.load(host, &heads, limits::SLICE_COPIED) > 0 {
                    return None;
                }
                let sources = self.sources(host, heads);
                let kept = self.rendered.borrow_mut().take(&wanted, &sources.generations());
                let job = kept.map_or_else(|| self.render(wanted, &sources), Job::of);
                (job, sources)
            }
        };
        if !job.advance(Slice::One, encoding == Encoding::Gzip) {
            *self.job.borrow_mut() = Some((job, sources));
            return None;
        }
        Some(self.complete(host, recorder, job.into_rendering(), &sources, encoding))
    }

    /// Returns true if a source that the client may see was never pulled, but can be.
    pub fn awaits_first_pull(&self, host: &dyn Host, permit: &Permit) -> bool {
        if self.all_pulled.get() {
            return false;
        }
        let can_be_pulled = |index: usize, source: &Source| {
            self.own.problem(index).is_none() && !matches!(source.credential, Credential::Forward)
        };
        let sources = self.config.sources.iter().zip(&self.keys).enumerate();
        let awaited = sources.filter(|(index, (source, _))| can_be_pulled(*index, source));
        let awaited = awaited
            .filter(|(_, (_, keys))| keys.head(host).is_none_or(|read| read.head.ended.is_none()));
        let awaited: Vec<usize> = awaited.map(|(index, _)| index).collect();
        self.all_pulled.set(awaited.is_empty());
        awaited.into_iter().any(|index| permit.view().shows_source(index))
    }

    /// The reason why the only source in a permit has no page to serve, if it has none. Must be called after its page
    /// was gathered.
    pub fn problem(&self, host: &dyn Host, permit: &Permit) -> Option<String> {
        let sources = self.sources(host, self.heads(host, permit.view()));
        let withheld = vec![Dropped::default(); sources.served.len()];
        let statuses = self.statuses(&sources, &withheld);
        let status = statuses.first().filter(|status| !status.fresh)?;
        let (_, reason) = status.problem()?;
        Some(format!("source \"{}\": {reason}", status.source.name))
    }

    fn sources(&self, host: &dyn Host, heads: Vec<Option<Head>>) -> Sources {
        let now = host.now();
        Sources { served: self.served(&heads, now), heads, now }
    }

    /// Begins to render the pages of these sources.
    fn render(&self, wanted: RenderingKey, sources: &Sources) -> Job {
        Job::new(wanted, sources.generations(), merge(&self.parts(sources, |_| false)))
    }

    /// Discards the work that no scrape waits for any more: it would give an old page to a later one.
    pub fn discard_job(&self) {
        self.job.take();
    }

    /// Adds the gateway's families to a rendering of the sources', and keeps it.
    fn complete(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        mut rendering: Rendering,
        sources: &Sources,
        encoding: Encoding,
    ) -> Gathered {
        if rendering.wanted.selection.has_gateway_families() {
            self.add_own(host, recorder, sources, &mut rendering);
        }
        let compressed = match encoding {
            Encoding::Identity => None,
            Encoding::Gzip => rendering.compressed(),
        };
        let page = match compressed {
            Some(compressed) => (Encoding::Gzip, compressed),
            None => (Encoding::Identity, Rc::clone(&rendering.page)),
        };
        self.rendered.borrow_mut().keep(rendering);
        page
    }

    /// Writes the gateway's families after the sources'.
    fn add_own(
        &self,
        host: &dyn Host,
        recorder: &dyn ScrapeRecorder,
        sources: &Sources,
        rendering: &mut Rendering,
    ) {
        let Rendering { wanted, page, pulled, withheld, own: template, .. } = rendering;
        let statuses = self.statuses(sources, withheld);
        let write = |sink: &mut dyn Sink| {
            self.own.write(sink, &statuses);
            recorder.write(host, sink);
        };
        let created = || self.config.gateway_created.then(|| recorder.created(host)).flatten();
        let page = Rc::make_mut(page);
        if !has_template(wanted.format) || self.keeps_any() {
            page.truncate(*pulled);
            let (own, natives) = if wanted.format == Format::Protobuf {
                let mut own = protobuf::NativeBuilder::default();
                write(&mut own);
                own.finish()
            } else {
                let mut own = PageBuilder::new();
                write(&mut own);
                (own.build_conforming(), Vec::new())
            };
            let own = self.render_own(own, Extras { natives, created: created() }, sources, wanted);
            return close(wanted.format, page, &own);
        }
        let mut numbers = template.numbers();
        write(&mut numbers);
        if !template.fits(&numbers) {
            // The old template is dropped first, so that the new one can reuse its memory.
            *template = Template::default();
            let mut draft = TemplateBuilder::default();
            write(&mut draft);
            let own;
            (own, numbers) = draft.finish();
            let extras = Extras { natives: Vec::new(), created: created() };
            let mut text = self.render_own(own, extras, sources, wanted);
            text.extend_from_slice(end(wanted.format));
            *template = Template::new(&text, &numbers);
        }
        template.fill(&numbers, page, *pulled);
    }

    /// The gateway's families, with those of the same names that the page of a source may contain.
    fn render_own(
        &self,
        own: Page,
        extras: Extras,
        sources: &Sources,
        wanted: &RenderingKey,
    ) -> Vec<u8> {
        let own = Part {
            // The page is within the limits on the gateway's own series, so its labels fit.
            page: Rc::new(own.with_labels(self.own.labels()).unwrap_or_default()),
            labels: self.own.labels(),
            gateway_families: true,
        };
        let mut parts = vec![own];
        parts.extend(self.parts(sources, keeps).into_iter().filter(|part| part.gateway_families));
        let mut merged = merge(&parts);
        let selection = visible(&mut merged, wanted, GatewaySelection::Only);
        Renderer::new(Rc::new(merged), &selection, wanted.format, extras).finish()
    }

    fn keeps_any(&self) -> bool {
        self.config.sources.iter().any(keeps)
    }

    /// Reads the heads of the sources that the client may see, and notes that they are wanted.
    fn heads(&self, host: &dyn Host, visibility: &Visibility) -> Vec<Option<Head>> {
        self.want(host, host.now());
        let heads = self.keys.iter().enumerate().map(|(source, keys)| {
            let head = |keys: &Keys| keys.head(host).map(|read| read.head).unwrap_or_default();
            visibility.shows_source(source).then(|| head(keys))
        });
        heads.collect()
    }

    /// The pages that are not too old, of sources that the client may see.
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

    fn parts<'a>(&'a self, sources: &Sources, keeps: impl Fn(&Source) -> bool) -> Vec<Part<'a>> {
        let part = |(served, source): (&Loaded, &'a Source)| Part {
            page: Rc::clone(&served.page),
            labels: &source.labels,
            gateway_families: keeps(source),
        };
        sources.served.iter().zip(&self.config.sources).map(part).collect()
    }

    /// The status of the sources that the client may see.
    fn statuses<'a>(&'a self, sources: &'a Sources, withheld: &[Dropped]) -> Vec<SourceStatus<'a>> {
        let known = sources.heads.iter().zip(&sources.served).zip(withheld);
        let statuses = self.config.sources.iter().zip(known).enumerate();
        let status = |(index, (source, ((head, served), &withheld)))| {
            let (head, served): (&'a Option<Head>, &Loaded) = (head, served);
            let head = head.as_ref()?;
            Some(SourceStatus {
                source,
                head,
                unsent: self.own.problem(index),
                fresh: served.generation > 0,
                is_old: is_old(head.succeeded, source, sources.now),
                is_read: served.generation == head.generation,
                withheld,
            })
        };
        statuses.filter_map(status).collect()
    }

    /// Notifies the pulling VM that the sources are in use.
    fn want(&self, host: &dyn Host, now: Time) {
        let since = now.checked_sub(self.wanted.get());
        if since.is_none_or(|since| since >= limits::WANTED_EVERY) {
            self.wanted.set(now);
            for keys in &self.keys {
                keys.want(host, now);
            }
        }
    }

    /// The bytes of the pages that this VM does not have yet.
    fn bytes_to_load(&self, heads: &[Option<Head>]) -> u64 {
        let loaded = self.loaded.borrow();
        let new = heads.iter().zip(loaded.iter()).filter_map(|(head, loaded)| {
            head.as_ref().filter(|head| head.generation != loaded.generation)
        });
        new.map(|head| head.bytes).sum()
    }

    /// Copies pages with another generation than this VM has, until this many bytes are copied. Returns the number of
    /// bytes.
    fn load(&self, host: &dyn Host, heads: &[Option<Head>], most: usize) -> usize {
        let mut loaded = self.loaded.borrow_mut();
        let mut copied = 0;
        for ((keys, head), loaded) in self.keys.iter().zip(heads).zip(loaded.iter_mut()) {
            let Some(head) = head else { continue };
            if head.generation == loaded.generation {
                loaded.succeeded = head.succeeded;
                continue;
            }
            if copied >= most {
                break;
            }
            // A page can be stored before the head that names it; it is then read in the next scrape.
            if let Some((generation, page)) = keys.page(host)
                && generation == head.generation
            {
                copied += page.as_text().len();
                *loaded = Loaded { generation, page: Rc::new(page), succeeded: head.succeeded };
            }
        }
        copied
    }
}

fn wanted(permit: &Permit, selection: &Selection, format: Format) -> RenderingKey {
    let visibility = Rc::clone(permit.view());
    RenderingKey { format, selection: selection.clone(), visibility }
}

fn keeps(source: &Source) -> bool {
    source.gateway_families == GatewayFamilyPolicy::Keep
}

/// Returns true if a page of a pull at that time is too old to serve.
fn is_old(succeeded: Time, source: &Source, now: Time) -> bool {
    // A time in the future means that a clock was set back: the page's age is not known.
    let is_of_now = succeeded <= now + limits::CLOCK_SLACK;
    !is_of_now || now.saturating_sub(succeeded) > source.stale_after
}

/// Returns true for a text format with lines, in which numbers are filled in.
const fn has_template(format: Format) -> bool {
    matches!(format, Format::Text | Format::OpenMetrics)
}

/// The bytes after the last family.
const fn end(format: Format) -> &'static [u8] {
    match format {
        Format::OpenMetrics => openmetrics::END,
        _ => b"",
    }
}

/// Removes the end of the sources' families if the gateway's follow, and ends the page otherwise.
fn open(wanted: &RenderingKey, page: &mut Vec<u8>) {
    if !wanted.selection.has_gateway_families() {
        page.extend_from_slice(end(wanted.format));
    } else if let Format::Json { .. } = wanted.format {
        let members = page.strip_suffix(b"}").unwrap_or(page).trim_ascii_end().len();
        page.truncate(members);
    }
}

/// Appends the gateway's families, and the end of both.
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
