//! The shapes that pictures get.

use super::fault::PictureFault;
use crate::DataError;

/// Shapes of one import, width and height in pixels; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes(Vec<[u32; 2]>);

impl Shapes {
    /// Squares alone.
    ///
    /// # Errors
    /// [`DataError::Zero`].
    pub fn square(resolution: u32) -> Result<Self, DataError> {
        match resolution {
            0 => Err(DataError::Zero { what: "resolution" }),
            side => Ok(Shapes(vec![[side; 2]])),
        }
    }

    /// Shapes of different aspect ratios with areas near `resolution`², for which less is cut off than for squares: all
    /// sides are multiples of a number, a power of two near an eighth of the resolution if none is named, and none is
    /// longer than `most_aspect` times the other.
    ///
    /// # Errors
    /// [`DataError::Zero`]; [`DataError::Buckets`] if there is no such shape.
    pub fn of_aspects(resolution: u32, multiple_of: Option<u32>, most_aspect: f64) -> Result<Self, DataError> {
        let unit = multiple_of.unwrap_or_else(|| 1 << (resolution / 8).max(1).ilog2());
        if resolution == 0 || unit == 0 {
            return Err(DataError::Zero { what: if unit == 0 { "multiple of sides" } else { "resolution" } });
        }
        let area = f64::from(resolution).powi(2);
        let counterpart = |short: u32| [short, (area / f64::from(short) / f64::from(unit)).round() as u32 * unit];
        let is_allowed =
            |[short, long]: &[u32; 2]| short <= long && f64::from(*long) <= most_aspect * f64::from(*short);
        let upright = (1..=resolution.div_ceil(unit)).map(|count| counterpart(count * unit)).filter(is_allowed);
        let both = upright.flat_map(|[short, long]| [[short, long], [long, short]]);
        let mut shapes: Vec<[u32; 2]> = both.collect();
        shapes.sort_unstable();
        shapes.dedup();
        match shapes.is_empty() {
            true => Err(DataError::Buckets { resolution, unit, most_aspect }),
            false => Ok(Shapes(shapes)),
        }
    }

    /// Width and height of each.
    pub fn all(&self) -> &[[u32; 2]] {
        &self.0
    }

    /// The number of the shape of which a picture's aspect ratio is nearest.
    ///
    /// # Errors
    /// [`PictureFault::Aspect`] if even that would show less than half of the picture; squares show what they can.
    pub(crate) fn best(&self, width: u32, height: u32) -> Result<usize, PictureFault> {
        let shown = |[w, h]: [u32; 2]| {
            let (own, other) = (u64::from(width) * u64::from(h), u64::from(height) * u64::from(w));
            own.min(other) as f64 / own.max(other) as f64
        };
        let best = (0..self.0.len()).max_by(|a, b| shown(self.0[*a]).total_cmp(&shown(self.0[*b]))).unwrap_or(0);
        match shown(self.0[best]) < 0.5 && self.0.len() > 1 {
            true => {
                Err(PictureFault::Aspect { width, height, best: self.0[best], percent: shown(self.0[best]) * 100.0 })
            }
            false => Ok(best),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_near_the_square_and_sides_multiples() {
        let shapes = Shapes::of_aspects(512, None, 2.0).unwrap();
        assert_eq!(shapes.all(), [[384, 704], [448, 576], [512, 512], [576, 448], [704, 384]]);
        for (resolution, unit, most_aspect) in [(1024, 64, 4.0), (224, 16, 2.0), (30, 8, 3.0), (100, 7, 2.0)] {
            for &[width, height] in Shapes::of_aspects(resolution, Some(unit), most_aspect).unwrap().all() {
                assert!(width % unit == 0 && height % unit == 0, "{width} x {height}");
                // The long side is at most half a unit from where the area would be the square's.
                let exact = f64::from(resolution).powi(2) / f64::from(width.min(height));
                assert!((f64::from(width.max(height)) - exact).abs() <= 0.5 * f64::from(unit), "{width} x {height}");
            }
        }
        let one = Shapes::of_aspects(64, Some(64), 1.5).unwrap();
        assert_eq!(one.all(), [[64, 64]]);
        let none = Shapes::of_aspects(16, Some(64), 2.0).unwrap_err().to_string();
        assert!(none.contains("multiples of 64"), "{none}");
    }

    #[test]
    fn pictures_go_where_most_of_them_is_shown() {
        let shapes = Shapes::of_aspects(512, None, 2.0).unwrap();
        let best = |width, height| shapes.best(width, height).map(|best| shapes.all()[best]);
        assert_eq!(best(1920, 1080).unwrap(), [704, 384]);
        assert_eq!(best(1, 1).unwrap(), [512, 512]);
        assert_eq!(best(300, 900).unwrap(), [384, 704]);
        let message = best(10_000, 1000).unwrap_err().to_string();
        assert!(
            message.contains("10000 x 1000") && message.contains("704 x 384") && message.contains("18 %"),
            "{message}"
        );
        assert_eq!(Shapes::square(8).unwrap().best(10, 1000).unwrap(), 0);
    }
}
