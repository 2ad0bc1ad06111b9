//! One request through its filters: to the cluster or to a local reply, and back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Listener;
use super::reply;
use super::signals::{Signal, Signals};
use super::worker::{Dead, Place, Worker};
use crate::trap::Trap;
use crate::vm::{
    Action, ContextId, Direction, Exchange, Headers, LocalReply, Plugin, SharedExchange, Vm,
};
use crate::world::locked;

/// A request, from its first byte to its `on_log`.
pub(super) struct Stream {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    exchange: SharedExchange,
    filters: Vec<Filter>,
    began: Instant,
    /// The client's request was read to its end.
    complete: bool,
    finished: bool,
}

/// The bit of `response.flags`.
const IDLE_TIMEOUT: u64 = 0x1_0000;

struct Filter {
    plugin: Arc<Plugin>,
    place: Option<Place>,
    signals: Rc<Signals>,
    /// Its VM died during the stream, or was dead before.
    failed: bool,
    /// The parts of the two bodies that it holds.
    held: [Vec<u8>; 2],
}

/// The reason why a message goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Reply(LocalReply),
    Reset,
}

/// The part of a message that a filter sees.
#[derive(Clone, Copy)]
enum Part {
    Headers,
    Body,
    Trailers,
}

impl Stream {
    pub(super) fn new(worker: &Rc<Worker>, listener: &Arc<Listener>, exchange: Exchange) -> Self {
        let filters = listener.filters.iter().map(|plugin| Filter {
            plugin: Arc::clone(plugin),
            place: None,
            signals: Rc::default(),
            failed: false,
            held: Default::default(),
        });
        worker.world.request_began();
        Self {
            worker: Rc::clone(worker),
            listener: Arc::clone(listener),
            filters: filters.collect(),
            exchange: Arc::new(std::sync::Mutex::new(exchange)),
            began: Instant::now(),
            complete: false,
            finished: false,
        }
    }

    /// The exchange. The guard must not be held across a callback.
    pub(super) fn exchange(&self) -> std::sync::MutexGuard<'_, Exchange> {
        locked(&self.exchange)
    }

    /// Removes all filters. Call it before any filter sees the request.
    pub(super) fn pass_filters_by(&mut self) {
        self.filters.clear();
    }

    /// Sends the request's headers through all filters, in order.
    pub(super) async fn request_headers(&mut self, end: bool) -> Result<(), Stop> {
        self.complete = end;
        for place in 0..self.filters.len() {
            self.open(place)?;
            self.show(place, Direction::Request, Part::Headers, end).await?;
        }
        Ok(())
    }

    /// Sends a piece of the request's body through all filters; `None` if one of them holds it until more comes.
    pub(super) async fn request_body(
        &mut self,
        piece: Vec<u8>,
        end: bool,
    ) -> Result<Option<Vec<u8>>, Stop> {
        self.complete = end;
        self.exchange().facts.bytes_received += piece.len() as u64;
        let mut piece = Some(piece);
        for place in 0..self.filters.len() {
            let Some(shown) = piece else { return Ok(None) };
            piece = self.show_body(place, Direction::Request, shown, end).await?;
        }
        Ok(piece)
    }

    pub(super) async fn request_trailers(&mut self) -> Result<(), Stop> {
        for place in 0..self.filters.len() {
            self.show(place, Direction::Request, Part::Trailers, true).await?;
        }
        Ok(())
    }

    /// Sends the reply's headers through all filters in reverse order. From here on, the status is known.
    pub(super) async fn response_headers(
        &mut self,
        headers: Headers,
        end: bool,
    ) -> Result<(), Stop> {
        self.exchange().response_headers = Some(headers);
        for place in (0..self.filters.len()).rev() {
            self.show(place, Direction::Response, Part::Headers, end).await?;
        }
        Ok(())
    }

    /// As [`Stream::request_body`], in reverse order.
    pub(super) async fn response_body(
        &mut self,
        piece: Vec<u8>,
        end: bool,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let mut piece = Some(piece);
        for place in (0..self.filters.len()).rev() {
            let Some(shown) = piece else { return Ok(None) };
            piece = self.show_body(place, Direction::Response, shown, end).await?;
        }
        let sent = piece.as_ref().map_or(0, Vec::len) as u64;
        self.exchange().facts.bytes_sent += sent;
        Ok(piece)
    }

    pub(super) async fn response_trailers(&mut self) -> Result<(), Stop> {
        for place in (0..self.filters.len()).rev() {
            self.show(place, Direction::Response, Part::Trailers, true).await?;
        }
        Ok(())
    }

    /// Ends it: `on_log` of each filter, even if it never saw the request, then their ends, then the access loggers.
    pub(super) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.exchange().facts.duration = Some(self.began.elapsed());
        for place in 0..self.filters.len() {
            if self.filters[place].place.is_none() && !self.filters[place].failed {
                let _ = self.open(place);
            }
            let _ = self.enter(place, Vm::log);
        }
        for place in 0..self.filters.len() {
            let _ = self.enter(place, Vm::close);
            if let Some(place) = self.filters[place].place {
                self.worker.forget(place);
            }
        }
        for logger in &self.listener.access_loggers {
            let Ok(root) = self.worker.root(logger) else { continue };
            let _ = self.worker.enter(root, |vm, root| vm.log_at_root(root, &self.exchange));
        }
        self.worker.world.request_logged();
    }

    fn open(&mut self, place: usize) -> Result<(), Stop> {
        let filter = &mut self.filters[place];
        let opened = self.worker.root(&filter.plugin).and_then(|root| {
            let context = self.worker.enter(root, |vm, root| vm.open(root, &self.exchange))?;
            Ok(root.sibling(context))
        });
        let Ok(opened) = opened else {
            filter.failed = true;
            return Err(Stop::Reply(reply::failed()));
        };
        filter.place = Some(opened);
        self.worker.watch(opened, &filter.signals);
        Ok(())
    }

    /// Shows a part of a message to a filter, and waits for as long as the filter holds it.
    async fn show(
        &mut self,
        place: usize,
        direction: Direction,
        part: Part,
        end: bool,
    ) -> Result<(), Stop> {
        match self.call(place, direction, part, end)? {
            Action::Continue => Ok(()),
            Action::Pause => self.wait(place, direction).await,
        }
    }

    /// Shows a piece of a body to a filter, together with the part that it held before. If it holds this piece too, the
    /// caller does not wait, because more comes, except at the end.
    async fn show_body(
        &mut self,
        place: usize,
        direction: Direction,
        piece: Vec<u8>,
        end: bool,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let mut whole = std::mem::take(&mut self.filters[place].held[direction as usize]);
        whole.extend(piece);
        self.on_body(direction, |body| *body = whole);
        let action = self.call(place, direction, Part::Body, end)?;
        if action == Action::Pause && end {
            self.wait(place, direction).await?;
        }
        let whole = self.on_body(direction, std::mem::take);
        if action == Action::Pause && !end {
            self.filters[place].held[direction as usize] = whole;
            return Ok(None);
        }
        Ok(Some(whole))
    }

    fn on_body<T>(&self, direction: Direction, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut exchange = self.exchange();
        match direction {
            Direction::Request => act(&mut exchange.request_body),
            Direction::Response => act(&mut exchange.response_body),
        }
    }

    fn call(
        &mut self,
        place: usize,
        direction: Direction,
        part: Part,
        end: bool,
    ) -> Result<Action, Stop> {
        // A filter that never saw the request does not see its reply either.
        if self.filters[place].place.is_none() || self.filters[place].failed {
            return Ok(Action::Continue);
        }
        let called = self.enter(place, |vm, stream| match (direction, part) {
            (Direction::Request, Part::Headers) => vm.request_headers(stream, end),
            (Direction::Request, Part::Body) => vm.request_body(stream, end),
            (Direction::Request, Part::Trailers) => vm.request_trailers(stream),
            (Direction::Response, Part::Headers) => vm.response_headers(stream, end),
            (Direction::Response, Part::Body) => vm.response_body(stream, end),
            (Direction::Response, Part::Trailers) => vm.response_trailers(stream),
        });
        called.map_err(|Dead| {
            self.filters[place].failed = true;
            Stop::Reply(reply::failed())
        })
    }

    async fn wait(&self, place: usize, direction: Direction) -> Result<(), Stop> {
        let patience = self.listener.stream_idle_timeout;
        tokio::time::timeout(patience, self.told(place, direction)).await.unwrap_or_else(|_| {
            self.exchange().facts.flags |= IDLE_TIMEOUT;
            Err(Stop::Reply(reply::idle(self.complete)))
        })
    }

    async fn told(&self, place: usize, direction: Direction) -> Result<(), Stop> {
        loop {
            match self.filters[place].signals.next().await {
                Signal::Resume(half) if half == direction => return Ok(()),
                Signal::Resume(_) => {}
                Signal::Reply(reply) => return Err(Stop::Reply(reply)),
                Signal::Reset => return Err(Stop::Reset),
            }
        }
    }

    fn enter<T>(
        &self,
        place: usize,
        run: impl FnOnce(&mut Vm, ContextId) -> Result<T, Trap>,
    ) -> Result<T, Dead> {
        self.worker.enter(self.filters[place].place.ok_or(Dead)?, run)
    }
}

/// If the client leaves, the stream is dropped at its current point.
impl Drop for Stream {
    fn drop(&mut self) {
        if !self.finished {
            let mut exchange = self.exchange();
            exchange.facts.flags |= 0x4000;
            exchange.facts.code_details = Some("downstream_remote_disconnect".into());
            drop(exchange);
            self.finish();
        }
    }
}
