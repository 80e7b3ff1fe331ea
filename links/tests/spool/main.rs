//! The spool's promises, shown on real files: what callers are given, what a restart finds, what a full or a failing disk
//! does, and what `kill -9` cannot take. Must run as root, because some of it mounts small file systems.
//!
//! `cfg(test)` on each part only tells clippy that these are tests.

#[cfg(test)]
mod support;
#[cfg(test)]
mod model;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod trimming;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod random;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod failing_disk;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod by_hand;
