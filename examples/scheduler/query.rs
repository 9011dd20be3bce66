//! `--query`: the frames of one query under some rights, on standard output.
//!
//! Nothing else is written there, so the output can be piped.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use event_broker::nomad::rights::Rights;
use event_broker::nomad::{Query, event_type as happened};
use event_broker::{FrameOptions, Frames, Principal, Request, SubscribeError};

use crate::acl;
use crate::model::Object;
use crate::server::{Log, Server};
use crate::workload::Scheduler;

/// The arguments of the query.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) query: Query,
    pub(crate) rights: Rights,
    pub(crate) commits: u64,
}

/// The result that decides the exit status.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Invalid(String),
    Denied(String),
}

/// Opens the stream before the first commit, and writes each frame as soon as it is available.
pub(crate) fn run(options: Options) -> Result<Outcome, Box<dyn Error>> {
    let Options { query, rights, commits } = options;
    // Every commit is read before the next: a buffer of one batch loses nothing.
    let mut server = Server::new(1, Log::None)?;
    let principal = principal_with(&server, &rights);
    let request = Request::from(query).principal(principal);
    let subscription = match server.broker.subscribe(request) {
        Ok(subscription) => subscription,
        Err(SubscribeError::Denied(denial)) => return Ok(Outcome::Denied(denial.to_string())),
        Err(error) => return Ok(Outcome::Invalid(format!("--query: {error}"))),
    };
    // There are no heartbeats but the opening one, so the output does not depend on time.
    let mut frames = subscription.into_frames(FrameOptions::new().heartbeat(Duration::MAX)?);
    let mut out = io::stdout().lock();
    let written = forward(&mut frames, &mut out).and_then(|()| {
        let mut scheduler = Scheduler::new();
        (0..commits).try_for_each(|_| {
            scheduler.step(&mut server).map_err(io::Error::other)?;
            forward(&mut frames, &mut out)
        })
    });
    match written {
        // The reader of the pipe has closed it.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        written => Ok(written.map(|()| Outcome::Done)?),
    }
}

/// Creates a principal with these rights, in the server's own tables.
fn principal_with(server: &Server, rights: &Rights) -> Principal {
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

/// Writes the frames that are available now, each in one write.
fn forward(frames: &mut Frames<Object>, out: &mut impl Write) -> io::Result<()> {
    while let Some(frame) = frames.try_frame().map_err(io::Error::other)? {
        out.write_all(&frame)?;
    }
    out.flush()
}
