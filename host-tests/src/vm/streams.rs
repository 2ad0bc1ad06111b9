//! The callbacks of a stream, and the parts of the exchange that each may access.

use std::sync::Arc;

use super::state::Access;
use super::{Action, ContextId, Exchange, Headers, SharedExchange, Vm, length};
use crate::trap::Trap;
use crate::world::locked;

impl Vm {
    /// A stream context of `root` that can access `exchange`.
    ///
    /// # Errors
    /// The trap.
    pub fn open(&mut self, root: ContextId, exchange: &SharedExchange) -> Result<ContextId, Trap> {
        let Some(plugin) = self.context(root).map(|root| Arc::clone(&root.plugin)) else {
            return Err(self.no_such_context(root));
        };
        let stream = self.new_context(Some(root), plugin, Some(Arc::clone(exchange)));
        self.run(stream, "proxy_on_context_create", &[stream, root])?;
        Ok(stream)
    }

    /// `on_http_request_headers`.
    ///
    /// # Errors
    /// The trap.
    pub fn request_headers(&mut self, stream: ContextId, end: bool) -> Result<Action, Trap> {
        let count = self.measure(stream, |exchange| lines(exchange.request_headers.as_ref()));
        let arguments = [stream, count, u32::from(end)];
        self.pass(stream, "proxy_on_request_headers", &arguments, |access| {
            &mut access.request_headers
        })
    }

    /// `on_http_request_body`.
    ///
    /// # Errors
    /// The trap.
    pub fn request_body(&mut self, stream: ContextId, end: bool) -> Result<Action, Trap> {
        let size = self.measure(stream, |exchange| exchange.request_body.len());
        let arguments = [stream, size, u32::from(end)];
        self.pass(stream, "proxy_on_request_body", &arguments, |access| &mut access.request_body)
    }

    /// `on_http_request_trailers`.
    ///
    /// # Errors
    /// The trap.
    pub fn request_trailers(&mut self, stream: ContextId) -> Result<Action, Trap> {
        let count = self.measure(stream, |exchange| lines(exchange.request_trailers.as_ref()));
        let arguments = [stream, count];
        self.pass(stream, "proxy_on_request_trailers", &arguments, |access| {
            &mut access.request_trailers
        })
    }

    /// `on_http_response_headers`.
    ///
    /// # Errors
    /// The trap.
    pub fn response_headers(&mut self, stream: ContextId, end: bool) -> Result<Action, Trap> {
        let count = self.measure(stream, |exchange| lines(exchange.response_headers.as_ref()));
        let arguments = [stream, count, u32::from(end)];
        self.pass(stream, "proxy_on_response_headers", &arguments, |access| {
            &mut access.response_headers
        })
    }

    /// `on_http_response_body`.
    ///
    /// # Errors
    /// The trap.
    pub fn response_body(&mut self, stream: ContextId, end: bool) -> Result<Action, Trap> {
        let size = self.measure(stream, |exchange| exchange.response_body.len());
        let arguments = [stream, size, u32::from(end)];
        self.pass(stream, "proxy_on_response_body", &arguments, |access| &mut access.response_body)
    }

    /// `on_http_response_trailers`.
    ///
    /// # Errors
    /// The trap.
    pub fn response_trailers(&mut self, stream: ContextId) -> Result<Action, Trap> {
        let count = self.measure(stream, |exchange| lines(exchange.response_trailers.as_ref()));
        let arguments = [stream, count];
        self.pass(stream, "proxy_on_response_trailers", &arguments, |access| {
            &mut access.response_trailers
        })
    }

    /// `on_log` of a stream.
    ///
    /// # Errors
    /// The trap.
    pub fn log(&mut self, stream: ContextId) -> Result<(), Trap> {
        self.access(stream, |access| access.logging = true);
        let logged = self.run(stream, "proxy_on_log", &[stream]);
        self.access(stream, |access| access.logging = false);
        logged.map(drop)
    }

    /// `on_log` of an access logger: Envoy's `Wasm::log` calls it on the root itself, which can access the exchange
    /// meanwhile.
    ///
    /// # Errors
    /// The trap.
    pub fn log_at_root(&mut self, root: ContextId, exchange: &SharedExchange) -> Result<(), Trap> {
        self.see(root, Some(Arc::clone(exchange)));
        let logged = self.log(root);
        self.see(root, None);
        logged
    }

    /// `on_done` and `on_delete` of a stream.
    ///
    /// # Errors
    /// The trap.
    pub fn close(&mut self, stream: ContextId) -> Result<(), Trap> {
        self.run(stream, "proxy_on_done", &[stream])?;
        self.delete(stream)
    }

    /// Runs a callback that may hold a message. The message stays accessible only while it is held.
    fn pass(
        &mut self,
        stream: ContextId,
        callback: &'static str,
        arguments: &[u32],
        part: impl Fn(&mut Access) -> &mut bool,
    ) -> Result<Action, Trap> {
        self.access(stream, |access| *part(access) = true);
        let wish = self.run(stream, callback, arguments)?;
        // A local reply stops the stream, whatever the callback returned.
        if wish.unwrap_or(0) != 0 || self.store.data().run.replied {
            return Ok(Action::Pause);
        }
        self.access(stream, |access| *part(access) = false);
        Ok(Action::Continue)
    }

    fn no_such_context(&self, context: ContextId) -> Trap {
        self.dead.clone().unwrap_or_else(|| Trap {
            vm: self.store.data().vm.clone(),
            callback: "proxy_on_context_create",
            message: format!("there is no context {context}"),
        })
    }

    fn see(&mut self, context: ContextId, exchange: Option<SharedExchange>) {
        if let Some(context) = self.store.data_mut().contexts.get_mut(&context) {
            context.exchange = exchange;
        }
    }

    fn measure(&self, stream: ContextId, measure: impl FnOnce(&Exchange) -> usize) -> u32 {
        let exchange = self.context(stream).and_then(|stream| stream.exchange.as_ref());
        exchange.map_or(0, |exchange| length(measure(&locked(exchange))))
    }
}

fn lines(headers: Option<&Headers>) -> usize {
    headers.map_or(0, Headers::len)
}
