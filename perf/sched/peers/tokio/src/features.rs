// SPDX-License-Identifier: MIT
//
// Build script: says which of Tokio's later additions the Tokio being built against has. ../build
// passes its version.

fn main() {
    println!("cargo:rerun-if-env-changed=TOKIO_VERSION");
    let version = std::env::var("TOKIO_VERSION").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let minor = match numbers.next() {
        Some(1) => numbers.next().unwrap_or(0),
        _ => 0,
    };
    say("has_recv_many", minor >= 34);
    // Until then two tasks that keep making each other ready starve all others (tokio #5712): with
    // spawn_many_remote_busy2 no remote task ever runs.
    say("has_lifo_limit", minor >= 29);
}

fn say(feature: &str, is_there: bool) {
    if is_there {
        println!("cargo:rustc-cfg={feature}");
    }
}
