//! `weir-sandbox`: the zygote and its workers, the only program of Weir that holds codecs.
fn main() {}
