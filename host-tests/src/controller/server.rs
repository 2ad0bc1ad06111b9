//! The stand-in's thread. It listens, reads requests, and behaves as the [`Mode`] says.

mod connection;
mod websocket;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, mpsc as sync};
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Mode, Shared};

/// The number of connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The running thread.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// `None` once it is told to stop.
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Listen(sync::Sender<()>),
    Vanish(sync::Sender<()>),
}

impl Server {
    pub(super) fn start(shared: Arc<Shared>, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = StdListener::bind(shared.config.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (orders, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("controller".to_owned()).spawn(move || {
                runtime.block_on(async {
                    let port =
                        Port::Open(TcpListener::from_std(listener).expect("it is a listener"));
                    Loop { shared, tls, address, port, connections: JoinSet::new() }
                        .run(receiver)
                        .await;
                });
            })?;
        Ok(Self { address, orders: Some(orders), thread: Some(thread) })
    }

    /// Applies a mode. Returns when the thread has made the changes that the mode needs.
    pub(super) fn obey(&self, mode: &Mode) {
        let (done, wait) = sync::channel();
        let order = if *mode == Mode::Gone { Order::Vanish(done) } else { Order::Listen(done) };
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        assert!(sent && wait.recv().is_ok(), "the stand-in's thread has died");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // The thread's panic has been printed; a second one in a drop would abort.
            let _ = thread.join();
        }
    }
}

/// The state of the port.
enum Port {
    Open(TcpListener),
    /// Bound without listening: connections are refused, and no other program can take the port.
    Closed(TcpSocket),
}

impl Port {
    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Open(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Closed(_) => std::future::pending().await,
        }
    }
}

struct Loop {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    port: Port,
    connections: JoinSet<()>,
}

impl Loop {
    /// Runs until the handle is dropped.
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let (renewal, renewed) = watch::channel(());
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(order) => {
                        // Idle connections are closed, so that the next request uses the new mode.
                        renewal.send_replace(());
                        self = self.obey(order).await;
                    }
                },
                Ok(stream) = self.port.accept() => {
                    let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
                    self.connections.spawn(connection::serve(shared, stream, tls, renewed.clone()));
                }
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(mut self, order: Order) -> Self {
        let done = match order {
            Order::Vanish(done) => {
                self.connections.shutdown().await;
                if matches!(self.port, Port::Open(_)) {
                    // Closes the listener first, since two sockets cannot be bound at once.
                    let Self { shared, tls, address, port, connections } = self;
                    drop(port);
                    let port = Port::Closed(bound(address));
                    self = Self { shared, tls, address, port, connections };
                }
                done
            }
            Order::Listen(done) => {
                if let Port::Closed(socket) = self.port {
                    let listener = socket.listen(BACKLOG).expect("the port is ours");
                    self.port = Port::Open(listener);
                }
                done
            }
        };
        // The handle may have stopped waiting.
        let _ = done.send(());
        self
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.expect("the system has sockets");
    // Earlier connections may be in TIME_WAIT.
    socket.set_reuseaddr(true).expect("sockets have this option");
    socket.bind(address).expect("the port was ours a moment ago");
    socket
}
