//! The inputs that the fuzz targets start from: `cargo xtask ci fuzz` makes up others out of them.

use xtask_fuzz::TARGETS;

/// Above, a corpus is no longer small.
const CORPUS_LIMIT_BYTES: usize = 256 * 1024;

#[test]
fn every_target_ends_without_a_panic_on_each_input_of_its_small_corpus_and_on_parts_of_it() {
    for target in TARGETS {
        let entries = std::fs::read_dir(target.corpus()).unwrap();
        let inputs: Vec<Vec<u8>> = entries
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty(), "{} has an input", target.name);
        let bytes: usize = inputs.iter().map(Vec::len).sum();
        assert!(bytes < CORPUS_LIMIT_BYTES, "{}: {bytes} bytes", target.name);
        for input in &inputs {
            (target.run)(input);
            for tenth in 0..10 {
                (target.run)(&input[..input.len() * tenth / 10]);
            }
        }
    }
}
