//! Compiles what we say to etcd with protox, so that no protoc is needed on the machine.

use std::error::Error;

const FOLDER: &str = "src/coordination/etcd";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FOLDER}/rpc.proto");
    let descriptors = protox::compile(["rpc.proto"], [FOLDER])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
