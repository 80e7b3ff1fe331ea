//! Compiles the `.proto` files with protox, so that no protoc is needed on the machine.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 13] = [
    "turnpike/admin/v1/resources.proto",
    "turnpike/admin/v1/config.proto",
    "turnpike/admin/v1/apply.proto",
    "turnpike/admin/v1/money.proto",
    "turnpike/admin/v1/operators.proto",
    "turnpike/admin/v1/content.proto",
    "turnpike/feed/v1/feed.proto",
    "turnpike/feed/v1/stored.proto",
    "turnpike/escrow/v1/escrow.proto",
    "turnpike/usage/v1/usage.proto",
    "turnpike/account/v1/account.proto",
    "turnpike/usage/v1/link.proto",
    "turnpike/content/v1/content.proto",
];

/// Messages with a secret. What they print is written by hand, in `src/secrets.rs`.
const SECRET: [&str; 6] = [
    "turnpike.admin.v1.UpstreamSpec",
    "turnpike.admin.v1.CreateKeyResponse",
    "turnpike.admin.v1.RotateKeyResponse",
    "turnpike.admin.v1.KeyImport",
    "turnpike.admin.v1.ImportedKey",
    "turnpike.admin.v1.CreateOperatorResponse",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=turnpike");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Ordered maps, so that equal messages are equal bytes.
    tonic_prost_build::configure().btree_map(".").skip_debug(SECRET).compile_fds(descriptors)?;
    Ok(())
}
