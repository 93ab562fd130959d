//! How pieces of many sizes share collectives of about one size.

/// The pieces, cut and put together in order to buckets of at most `most` elements.
pub(super) fn buckets<'a>(pieces: &'a mut [&mut [f32]], most: usize) -> Vec<Vec<&'a mut [f32]>> {
    let mut buckets: Vec<Vec<&'a mut [f32]>> = Vec::new();
    let mut free = 0;
    for piece in pieces.iter_mut().flat_map(|piece| piece.chunks_mut(most)) {
        if piece.len() > free {
            buckets.push(Vec::new());
            free = most;
        }
        free -= piece.len();
        if let Some(bucket) = buckets.last_mut() {
            bucket.push(piece);
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_element_once_in_order() {
        let mut values: Vec<f32> = (0..23u8).map(f32::from).collect();
        let (first, rest) = values.split_at_mut(3);
        let (second, third) = rest.split_at_mut(9);
        let mut pieces = [first, second, &mut [][..], third];
        let found = buckets(&mut pieces, 4);
        let sizes: Vec<usize> = found.iter().map(|bucket| bucket.iter().map(|piece| piece.len()).sum()).collect();
        assert_eq!(sizes, [3, 4, 4, 1, 4, 4, 3]);
        let all: Vec<f32> = found.iter().flatten().flat_map(|piece| piece.iter()).copied().collect();
        assert_eq!(all, (0..23u8).map(f32::from).collect::<Vec<_>>());
    }
}
