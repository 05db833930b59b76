//! The hash functions of the language. SHA-256 is from a crate; the others are short.

/// CRC-32 with the reflected polynomial `polynomial`.
fn crc(polynomial: u32, data: &[u8]) -> u32 {
    let mut state = u32::MAX;
    for byte in data {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 == 1 { (state >> 1) ^ polynomial } else { state >> 1 };
        }
    }
    !state
}

pub fn crc32(data: &[u8]) -> Vec<u8> {
    crc(0xedb8_8320, data).to_be_bytes().to_vec()
}

pub fn crc32c(data: &[u8]) -> Vec<u8> {
    crc(0x82f6_3b78, data).to_be_bytes().to_vec()
}

pub fn sha256(data: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(data).to_vec()
}

/// How far each step of MD5 rotates, by round and step modulo 4 (RFC 1321).
const ROTATIONS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The constants of MD5: the integer parts of 2^32 |sin(step + 1)| (RFC 1321).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between 0 and 2^32"
)]
fn md5_constant(step: u32) -> u32 {
    (f64::from(step + 1).sin().abs() * 4_294_967_296.0) as u32
}

pub fn md5(data: &[u8]) -> Vec<u8> {
    let mut message = data.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&(data.len() as u64).wrapping_mul(8).to_le_bytes());
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in message.chunks_exact(64) {
        let words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| word.iter().rev().fold(0, |all, byte| (all << 8) | u32::from(*byte)))
            .collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_u32 {
            let round = step / 16;
            let (mixed, word) = match round {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
                2 => (b ^ c ^ d, (3 * step + 5) % 16),
                _ => (c ^ (b | !d), (7 * step) % 16),
            };
            let rotation = ROTATIONS[round as usize][(step % 4) as usize];
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(md5_constant(step))
                .wrapping_add(words[word as usize]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(rotation));
        }
        for (word, value) in state.iter_mut().zip([a, b, c, d]) {
            *word = word.wrapping_add(value);
        }
    }
    state.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn base64(data: &[u8]) -> String {
    let mut text = String::new();
    for chunk in data.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, index| {
            (bits << 8) | u32::from(chunk.get(index).copied().unwrap_or(0))
        });
        for index in 0..4 {
            if index <= chunk.len() {
                let digit = (bits >> (18 - 6 * index)) & 63;
                text.push(char::from(DIGITS[digit as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes base64 in either alphabet, with or without padding.
pub fn of_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut data) = (0_u32, 0, Vec::new());
    for byte in text.trim_end_matches('=').bytes() {
        let byte = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        bits = (bits << 6) | u32::try_from(digit).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            data.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_their_published_values() {
        assert_eq!(hex(&crc32(b"123456789")), "cbf43926");
        assert_eq!(hex(&crc32c(b"123456789")), "e3069283");
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(&md5(b"message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(
            hex(&md5("1234567890".repeat(8).as_bytes())),
            "57edf4a22be3c955ac49da2e2107b67a"
        );
        assert!(hex(&sha256(b"abc")).starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn base64_survives_a_round_trip() {
        for text in ["", "f", "fo", "foo", "foob", "\u{fe}\u{ff}?>"] {
            let encoded = base64(text.as_bytes());
            assert_eq!(of_base64(&encoded).as_deref(), Some(text.as_bytes()), "{encoded}");
        }
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(of_base64("Zm8"), Some(b"fo".to_vec()));
        assert_eq!(of_base64("?"), None);
    }
}
