//! One stream on standard output: the frames of a query, under some rights.
//! Nothing else goes there, so that it can be piped.

use std::error::Error;
use std::io::{self, ErrorKind, Write};

use event_broker::nomad::Query;
use event_broker::nomad::rights::Rights;
use event_broker::{
    Batch, Delivery, EncodeError, Frame, Principal, Request, SubscribeError, Subscription, TryRecvError,
};

use crate::acl;
use crate::model::Object;
use crate::server::{Log, Server};
use crate::workload::Scheduler;

use event_broker::nomad::event_type as happened;

/// What the tool was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) query: Query,
    pub(crate) rights: Rights,
    pub(crate) commits: u64,
}

/// How it went, as far as the exit status tells.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Invalid(String),
    Denied(String),
}

/// Opens the stream before the first commit, and writes each frame as soon as it is there.
pub(crate) fn run(options: Options) -> Result<Outcome, Box<dyn Error>> {
    let Options { query, rights, commits } = options;
    // Every commit is read before the next: a buffer of one batch loses nothing.
    let mut server = Server::new(1, Log::None)?;
    let principal = seat(&server, &rights);
    let request = Request::from(query).principal(principal);
    let mut subscription = match server.broker.subscribe(request) {
        Ok(subscription) => subscription,
        Err(SubscribeError::Denied(denial)) => return Ok(Outcome::Denied(denial.to_string())),
        Err(error) => return Ok(Outcome::Invalid(error.to_string())),
    };
    let mut out = io::stdout().lock();
    let written = write(&mut out, &Frame::heartbeat()).and_then(|()| {
        let mut scheduler = Scheduler::new();
        for _ in 0..commits {
            scheduler.step(&mut server).map_err(io::Error::other)?;
            forward(&mut subscription, &mut out)?;
        }
        Ok(())
    });
    match written {
        // Whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        written => Ok(written.map(|()| Outcome::Done)?),
    }
}

/// Gives somebody the rights, by the server's own tables.
fn seat(server: &Server, rights: &Rights) -> Principal {
    if *rights == Rights::anonymous() {
        return Principal::anonymous();
    }
    let kind = if *rights == Rights::management() { "management" } else { "client" };
    let (token, principal) = acl::token("reader", kind, &["reader"], &[]);
    server.restore(|commit| {
        if kind == "client" {
            commit.put(happened::ACL_POLICY_UPSERTED, acl::policy("reader", rights.to_string()));
        }
        commit.put(happened::ACL_TOKEN_UPSERTED, token);
    });
    principal
}

fn forward(subscription: &mut Subscription<Object>, out: &mut impl Write) -> io::Result<()> {
    loop {
        match subscription.try_recv() {
            Ok(delivery) => write(out, &frame(&delivery).map_err(io::Error::other)?)?,
            Err(TryRecvError::Empty) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// The frame of a delivery.
fn frame(delivery: &Delivery<Object>) -> Result<Frame, EncodeError> {
    Frame::encode(&Batch::new(delivery.index(), delivery.events().cloned().collect::<Vec<_>>()))
}

fn write(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    out.write_all(frame.as_bytes())?;
    out.flush()
}
