//! Every operation of the catalogue: its value, both derivatives and its StableHLO; and methods made of several.

mod case;
mod collectives;
mod derivatives;
mod low_precision;
mod methods;
mod snapshots;
