//! libFuzzer over the target that `FUZZ_TARGET` names. `make fuzz` runs it once for each target.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<&'static fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is the name of a target");
    fuzz::target(&name).expect("a target of this name")
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
