//! A small scheduler whose state changes are read by everybody who may: the whole of the crate at work.
//! Here is only how it is called and how it ends; the table below says where the rest is.
//!
//! | file | what |
//! |---|---|
//! | `model` | the rows of the state store, and their events |
//! | `store` | the tables, changed by one commit at a time |
//! | `server` | commit first, then publish |
//! | `acl` | the authorizer, over the tables of tokens, policies and roles |
//! | `workload`, `cluster` | what is committed |
//! | `query` | `--query`: one stream, to be piped |

mod acl;
mod cluster;
mod model;
mod query;
mod random;
mod server;
mod store;
mod workload;

fn main() {}
