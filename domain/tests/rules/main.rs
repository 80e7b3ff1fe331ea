//! The rules of the domain: tables for what is known, properties for what must hold for everything else.

mod sample;

mod money;
mod names;
mod jurisdictions;
mod networks;
#[cfg(test)]
mod keys;
mod clients;

mod tokens;
mod prices;
mod markup;
mod limits;
mod shares;

mod catalog;
mod compile;
mod snapshot;

mod hold;
mod escrow;
mod usage;
mod progress;
