//! What is served: the sources' last good pages, and the gateway's own families beside them.
//!
//! A VM copies and parses a page only when its generation changed, and keeps what it rendered of it: of what did not
//! change nothing is parsed or rendered again. Only the gateway's own families are new in every scrape.

mod own;
mod rendered;

use super::Ledger;
use super::accept::Format;
use crate::auth::Permit;
use crate::config::{Config, GatewayFamilies, Source};
use crate::exposition::{json, page, parse, text};
use crate::host::{Host, Time};
use crate::limits;
use crate::metrics::{self, Dropped, Merged, Page, PageBuilder, Part, Selection, merge};
use crate::shared::snapshot::{Head, Keys};
use own::{Own, State};
use rendered::{Key, Rendered};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Gathers the pages of one configuration, in one VM.
pub struct Gatherer {
    config: Rc<Config>,
    keys: Vec<Keys>,
    loaded: RefCell<Vec<Loaded>>,
    rendered: RefCell<Rendered>,
    withheld: RefCell<Withheld>,
    wanted: Cell<Time>,
    own: Own,
}

/// What of each source's page is not served beside the others', while their generations are these.
#[derive(Default)]
struct Withheld {
    generations: Vec<u64>,
    dropped: Vec<Dropped>,
}

/// A source's page as this VM has it; generation 0 where it has none.
#[derive(Clone, Default)]
struct Loaded {
    generation: u64,
    page: Rc<Page>,
}

impl Gatherer {
    /// A gatherer that has nothing yet.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let keys: Vec<Keys> =
            config.sources.iter().map(|source| Keys::new(&source.key())).collect();
        Self {
            loaded: RefCell::new(vec![Loaded::default(); keys.len()]),
            own: Own::new(&config, host),
            rendered: RefCell::default(),
            withheld: RefCell::default(),
            wanted: Cell::default(),
            config,
            keys,
        }
    }

    /// The page for who may see it.
    pub fn page(
        &self,
        host: &dyn Host,
        ledger: &dyn Ledger,
        _permit: &Permit,
        selection: &Selection,
        format: Format,
    ) -> Vec<u8> {
        if format == Format::Html {
            return page::DOCUMENT.into();
        }
        let now = host.now();
        self.want(host, now);
        let heads = self.heads(host);
        self.load(host, &heads);
        let served = self.served(&heads, now);
        let pulled = self.pulled(&served, selection, format);
        if selection.gateway == metrics::GatewayFamilies::None {
            return pulled.to_vec();
        }
        let mut own = PageBuilder::new();
        self.withhold(&served);
        self.own.write(&mut own, &self.states(&heads, &served, &self.withheld.borrow().dropped));
        ledger.write(host, &mut own);
        let own = self.own(&own.build(), &served, selection, format);
        join(format, &pulled, own)
    }

    /// The sources' families: rendered once for each kind of scrape, while no page changes.
    fn pulled(&self, served: &[Loaded], selection: &Selection, format: Format) -> Rc<[u8]> {
        if selection.gateway == metrics::GatewayFamilies::Only {
            return Rc::default();
        }
        let generations = generations(served);
        let key = Key { format, selection: selection.clone(), generations };
        self.rendered.borrow_mut().of(key, || {
            let merged = merge(&self.parts(served, |_| false));
            render(format, &merged, &only(selection, metrics::GatewayFamilies::None))
        })
    }

    /// The gateway's families, with what a source's page may bring along of the same names.
    fn own(&self, own: &Page, served: &[Loaded], selection: &Selection, format: Format) -> Vec<u8> {
        let mut parts = vec![Part { page: own, labels: self.own.labels(), gateway_families: true }];
        let keeps = |source: &Source| source.gateway_families == GatewayFamilies::Keep;
        parts.extend(self.parts(served, keeps).into_iter().filter(|part| part.gateway_families));
        render(format, &merge(&parts), &only(selection, metrics::GatewayFamilies::Only))
    }

    /// The pages that are young enough to be served; generation 0 in place of the others.
    fn served(&self, heads: &[Head], now: Time) -> Vec<Loaded> {
        let loaded = self.loaded.borrow();
        let fresh = |head: &Head, source: &Source| {
            // A page of the future can only come from a clock that was set back since: its age is not known.
            let is_of_now = head.succeeded <= now + limits::CLOCK_SLACK;
            let age = now.saturating_sub(head.succeeded);
            head.generation > 0 && is_of_now && age <= source.stale_after
        };
        loaded
            .iter()
            .zip(heads.iter().zip(&self.config.sources))
            .map(
                |(loaded, (head, source))| {
                    if fresh(head, source) { loaded.clone() } else { Loaded::default() }
                },
            )
            .collect()
    }

    fn parts<'a>(&'a self, served: &'a [Loaded], keeps: impl Fn(&Source) -> bool) -> Vec<Part<'a>> {
        let part = |(served, source): (&'a Loaded, &'a Source)| Part {
            page: &served.page,
            labels: &source.labels,
            gateway_families: keeps(source),
        };
        served.iter().zip(&self.config.sources).map(part).collect()
    }

    /// Finds out what the sources' pages leave each other no room for, where one of them is new.
    fn withhold(&self, served: &[Loaded]) {
        let mut withheld = self.withheld.borrow_mut();
        let generations = generations(served);
        if withheld.generations != generations || withheld.dropped.len() != served.len() {
            let merged = merge(&self.parts(served, |_| false));
            let dropped = (0..served.len()).map(|part| merged.dropped(part)).collect();
            *withheld = Withheld { generations, dropped };
        }
    }

    fn states<'a>(
        &'a self,
        heads: &'a [Head],
        served: &[Loaded],
        withheld: &[Dropped],
    ) -> Vec<State<'a>> {
        let sources = self.config.sources.iter().zip(heads).zip(served.iter().zip(withheld));
        let state = |((source, head), (served, &withheld)): ((_, _), (&Loaded, _))| State {
            source,
            head,
            fresh: served.generation > 0,
            withheld,
        };
        sources.map(state).collect()
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

    fn heads(&self, host: &dyn Host) -> Vec<Head> {
        let head = |keys: &Keys| keys.head(host).map(|read| read.head).unwrap_or_default();
        self.keys.iter().map(head).collect()
    }

    /// Copies and parses the pages whose generation is another than the one at hand.
    fn load(&self, host: &dyn Host, heads: &[Head]) {
        let mut loaded = self.loaded.borrow_mut();
        for ((keys, head), loaded) in self.keys.iter().zip(heads).zip(loaded.iter_mut()) {
            if head.generation == loaded.generation {
                continue;
            }
            // Of a page that cannot be read the last one stays, until a new one comes.
            if let Some(stored) = keys.page(host)
                && let Ok(page) = parse::text(stored.bytes)
            {
                *loaded = Loaded { generation: stored.generation, page: Rc::new(page) };
            }
        }
    }
}

fn generations(served: &[Loaded]) -> Vec<u64> {
    served.iter().map(|served| served.generation).collect()
}

/// The same selection, of one side.
fn only(selection: &Selection, gateway: metrics::GatewayFamilies) -> Selection {
    Selection { gateway, ..selection.clone() }
}

fn render(format: Format, merged: &Merged<'_>, selection: &Selection) -> Vec<u8> {
    let mut out = Vec::new();
    match format {
        Format::Text => text::render(merged, selection, &mut out),
        Format::Json { indent } => {
            json::render(merged, selection, indent.map(usize::from), &mut out)
        }
        Format::Html => {}
    }
    out
}

/// Both sides as one page.
fn join(format: Format, pulled: &[u8], own: Vec<u8>) -> Vec<u8> {
    match format {
        _ if pulled.is_empty() => own,
        _ if own.is_empty() => pulled.to_vec(),
        Format::Text => [pulled, &own].concat(),
        Format::Json { .. } => join_objects(pulled, own),
        Format::Html => own,
    }
}

/// Two JSON objects of different members as one.
fn join_objects(first: &[u8], second: Vec<u8>) -> Vec<u8> {
    let members = first.strip_suffix(b"}").unwrap_or(first).trim_ascii_end();
    match (members, second.as_slice()) {
        (b"{", _) => second,
        (_, b"{}") => first.to_vec(),
        (members, [b'{', rest @ ..]) => [members, b",", rest].concat(),
        (_, _) => first.to_vec(),
    }
}
