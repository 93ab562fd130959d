//! Every operation of the catalogue: its value, both derivatives and its StableHLO.

mod case;
mod derivatives;
mod low_precision;
mod snapshots;
