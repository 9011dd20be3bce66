//! Work that must panic: its message, and the line that the panic names. And work in a process of its own.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, Output};
use std::sync::Once;

thread_local! {
    /// Where the panic of this thread was, if the thread expects one.
    static EXPECTED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs work that must panic. Returns the message, and the file and line that the panic names. Nothing is printed.
pub(crate) fn failure(work: impl FnOnce()) -> (String, String) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            let expected = EXPECTED.with_borrow_mut(|expected| match expected {
                Some(at) => {
                    *at = place.unwrap_or_default();
                    true
                }
                None => false,
            });
            if !expected {
                print(info);
            }
        }));
    });
    EXPECTED.set(Some(String::new()));
    let caught = panic::catch_unwind(AssertUnwindSafe(work));
    let place = EXPECTED.take().unwrap();
    let payload = caught.expect_err("it must panic");
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    (text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap(), place)
}

/// Runs this expression, which must panic at the line on which it begins, and returns the message.
macro_rules! fails {
    ($work:expr) => {{
        let (message, place) = $crate::failing::failure(|| _ = $work);
        assert_eq!(place, format!("{}:{}", file!(), line!()), "the line of the panic");
        message
    }};
}
pub(crate) use fails;

/// The variable that is set in a process of one test, which otherwise does nothing.
const ALONE: &str = "KIT_TEST_ALONE";

/// Whether this process is there for one test.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs this test in a process of its own, with variables, and returns what it printed.
pub(crate) fn alone(test: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env_remove("EVENT_BROKER_GOLDEN").env("RUST_BACKTRACE", "0").env(ALONE, "1");
    command.envs(variables.iter().copied()).output().unwrap()
}
