//! Orderings that no model shows, because loom has no such operations: read from the source.
//! What the models show is in `src/models`.
//!
//! loom knows sequentially consistent fences, and treats other sequentially consistent operations as acquire-release ones.
//! So its stand-in for the exchange that makes a batch visible is a store and a fence, which orders more than the exchange
//! does; the models that do not wait are therefore explored with a plain exchange as well. What those that wait rest on is
//! that exchange, load and fence have one order that all threads agree on, and that only the words below say.

use std::fs;
use std::path::Path;

fn source(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = fs::read_to_string(path).expect("a source of the crate");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The body of the function that begins with this.
fn body<'t>(text: &'t str, begins: &str) -> &'t str {
    let from = text.find(begins).unwrap_or_else(|| panic!("no {begins:?}"));
    let rest = text.get(from..).unwrap_or_default();
    rest.split(" }").next().unwrap_or_default()
}

/// The first step at the top of `wait`: the publisher makes visible and looks at the list's flag, the reader registers and
/// looks again. All four are sequentially consistent, or no wake-up would be certain. [G10]
#[test]
fn publisher_and_waiter_agree_on_one_order() {
    let sync = source("sync.rs");
    let real = sync.split("mod real").nth(1).expect("the real primitives come first");
    assert!(body(real, "fn store_and_fence(").contains("place.swap(value, Ordering::SeqCst)"));
    let wait = source("wait/list.rs");
    assert!(body(&wait, "fn is_occupied(").contains("self.occupied.load(Ordering::SeqCst)"));
    assert!(body(&wait, "fn seq_cst_fence(").contains("fence(Ordering::SeqCst)"));
    assert!(body(&source("log/frontier.rs"), "fn store_end_seq_cst(").contains("store_and_fence("));
}

/// What others read before the end is released before it: `latest_index` and the closed end are stored Release, and loaded
/// Acquire.
#[test]
fn what_comes_with_the_end_is_released() {
    let frontier = source("log/frontier.rs");
    assert!(!frontier.contains("Ordering::Relaxed"), "nothing of the frontier is relaxed");
}
