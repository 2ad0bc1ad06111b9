//! The threads: one that accepts connections, the main thread, and the workers, each with its own runtime.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::http::Client;
use super::worker::Worker;
use super::{GatewayConfig, Listener, StartError};
use crate::vm::{Connection, Plugin};
use crate::world::World;

/// All threads of a proxy. Dropping them stops them and waits for their end.
pub(super) struct Threads {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.running.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A connection on its way to a worker.
struct Accepted {
    stream: std::net::TcpStream,
    listener: Arc<Listener>,
    tls: Option<TlsAcceptor>,
    connection: Connection,
}

type Inbox = mpsc::UnboundedReceiver<Accepted>;

struct Bound {
    socket: std::net::TcpListener,
    listener: Arc<Listener>,
    tls: Option<TlsAcceptor>,
}

/// Starts the main thread and the workers, and then, when their VMs exist, the listeners.
pub(super) async fn start(
    world: &Arc<World>,
    config: &GatewayConfig,
    plugins: &[Arc<Plugin>],
) -> Result<(Threads, Vec<(String, SocketAddr)>), StartError> {
    let bound = config.listeners.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let addresses = bound
        .iter()
        .map(|bound| Ok((bound.listener.name.clone(), bound.socket.local_addr()?)))
        .collect::<Result<Vec<_>, StartError>>()?;
    let (stop, stopped) = watch::channel(false);
    let mut threads = Threads { stop, running: Vec::new() };
    let mut workers = Vec::new();
    for number in 0..=config.workers {
        let (to_worker, inbox) = mpsc::unbounded_channel();
        let (ready, is_ready) = oneshot::channel();
        let name = number.checked_sub(1).map_or("main".to_owned(), |n| format!("worker-{n}"));
        let backoff = (number > 0).then_some(config.reload_backoff);
        let (world, plugins, stopped) = (Arc::clone(world), plugins.to_vec(), stopped.clone());
        threads.running.push(spawn(&name.clone(), async move || {
            let worker = Worker::new(&world, &name, backoff);
            worker.start(&plugins);
            let _ = ready.send(());
            work(worker, inbox, stopped).await;
        })?);
        let _ = is_ready.await;
        if number > 0 {
            workers.push(to_worker);
        }
    }
    threads.running.push(spawn("accept", async move || accept_all(bound, workers, stopped).await)?);
    Ok((threads, addresses))
}

fn bind(listener: &Listener) -> Result<Bound, StartError> {
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    socket.set_nonblocking(true)?;
    let tls = listener.tls.as_ref().map(super::Identity::acceptor).transpose();
    let tls = tls.map_err(StartError::Tls)?;
    Ok(Bound { socket, listener: Arc::new(listener.clone()), tls })
}

/// A thread with its own runtime, on which nothing needs to be `Send`.
fn spawn<F>(name: &str, run: F) -> std::io::Result<JoinHandle<()>>
where
    F: AsyncFnOnce() + Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        LocalSet::new().block_on(&runtime, run());
    })
}

async fn work(worker: Rc<Worker>, mut inbox: Inbox, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(accepted) = inbox.recv() => {
                tokio::task::spawn_local(serve(Rc::clone(&worker), accepted));
            }
        }
    }
    worker.stop();
}

async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted { stream, listener, tls, connection } = accepted;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true);
    let client = Client { worker, listener, connection };
    match tls {
        None => client.serve(stream).await,
        Some(tls) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            client.serve(stream).await;
        }
    }
}

async fn accept_all(
    bound: Vec<Bound>,
    workers: Vec<mpsc::UnboundedSender<Accepted>>,
    mut stopped: watch::Receiver<bool>,
) {
    let connections = Rc::new(AtomicU64::new(0));
    let workers = Rc::new(workers);
    for bound in bound {
        tokio::task::spawn_local(accept(bound, Rc::clone(&workers), Rc::clone(&connections)));
    }
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Distributes connections to the workers in turn.
async fn accept(
    bound: Bound,
    workers: Rc<Vec<mpsc::UnboundedSender<Accepted>>>,
    connections: Rc<AtomicU64>,
) {
    let Ok(socket) = TcpListener::from_std(bound.socket) else { return };
    let mut turn = workers.iter().cycle();
    loop {
        let Ok((stream, source)) = socket.accept().await else { continue };
        let (Ok(destination), Ok(stream)) = (stream.local_addr(), stream.into_std()) else {
            continue;
        };
        let id = connections.fetch_add(1, Ordering::Relaxed);
        let accepted = Accepted {
            stream,
            listener: Arc::clone(&bound.listener),
            tls: bound.tls.clone(),
            connection: Connection { id, source, destination },
        };
        if let Some(worker) = turn.next() {
            let _ = worker.send(accepted);
        }
    }
}
