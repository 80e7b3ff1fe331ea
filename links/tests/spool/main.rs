//! The spool's promises, shown on real files: what callers are given, what a restart finds, what a full or a failing disk
//! does, and what `kill -9` cannot take. Must run as root, because some of it mounts small file systems.

mod support;
mod model;

mod contract;
mod reading;
mod trimming;
mod recovery;
mod random;
mod full_disk;
mod failing_disk;
mod killed;
mod usage;
