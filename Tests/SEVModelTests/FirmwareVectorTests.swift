import Crypto
import SEVABI
import SEVCertificates
import SEVModel
import Testing

/// So many bytes that count up from one.
private func counting(_ first: UInt8, _ count: Int) -> [UInt8] {
  (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
}

@Suite("The firmware's vectors")
struct FirmwareVectorTests {
  private let policy = GuestPolicy(rawValue: 0x0100_0001)

  private func cipher() -> PacketCipher {
    var secret = counting(0x60, 16) + counting(0x70, 16)
    return PacketCipher(TransportKeys(takingFrom: &secret))
  }

  @Test("of the counting session: derived keys, wrapped keys and both codes")
  func countingSession() throws {
    let shared = SymmetricKey(data: counting(0, 48))
    let master = KeyDerivation.key(
      from: shared, label: "sev-master-secret", context: counting(0x40, 16))
    #expect(bytes(of: master) == bytes(hex: "12c8472d588d423682a6afda61b86c8d"))
    #expect(
      bytes(of: KeyDerivation.key(from: master, label: "sev-kek"))
        == bytes(hex: "f77d1d9cc866b613a9c2627d3db2bf09"))
    #expect(
      bytes(of: KeyDerivation.key(from: master, label: "sev-kik"))
        == bytes(hex: "51e2236bbd2f991921b72e94e003bc38"))
    var secret = counting(0x60, 16) + counting(0x70, 16)
    let (blob, keys) = try SessionBlob.seal(
      &secret, sharedSecret: shared, nonce: counting(0x40, 16), vector: counting(0x50, 16),
      policy: policy)
    #expect(secret == [UInt8](repeating: 0, count: 32), "the keys are taken over, not copied")
    #expect(blob.count == 128)
    #expect(
      Array(blob[16..<48])
        == bytes(hex: "100d652b2120db78c3422edb32cd506603535b5c6b25998e8d65a4b642c1eb3b"))
    #expect(
      Array(blob[64..<96])
        == bytes(hex: "3f2dd1d15a5eb735fdc1960dcbb44ce66fe7c34d0f27af97d324f41487d72878"))
    #expect(
      Array(blob[96..<128])
        == bytes(hex: "9f1df5358b5703de702b0533aac475e1651a4b7dec0f5856794ea23f144eb616"))
    #expect(
      Array(SHA256.hash(data: blob))
        == bytes(hex: "8a7b520b78dcd40329dee1c303177bca182db3e5feb0ed18b4096675f0145425"))
    #expect(bytes(of: keys.encryptionKey) == counting(0x60, 16))
    #expect(bytes(of: keys.integrityKey) == counting(0x70, 16))
  }

  @Test(
    "of packets, in each context",
    arguments: [
      (PacketContext.data, "", "028b9a291dc1ce623f13b52970ed8ee8e2a891b7beea175860a0cfbec16a6646"),
      (.registers, "", "ebf22da5338dce76b30450577dbe464e4ddf52f61dd9898c3e8540876d6aa73c"),
      (.secret, "", "0f719a0304a385663d334367606384784da438d78c477affbe0f11a86ec4906d"),
      (
        .secret, "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
        "fb2dff267a4a7bab466af48f833a849af63462d084a4cc11b31e5f0fa70318a3"
      ),
    ])
  func packets(context: PacketContext, measurement: String, code: String) throws {
    let plaintext = counting(0, 64)
    let measurement = bytes(hex: measurement)
    let (header, transport) = try cipher().seal(
      plaintext, as: context, vector: counting(0x80, 16), measurement: measurement)
    #expect(
      transport
        == bytes(
          hex: "1c354377b4e0d54bef1f7ce9fb1d329255a009df01faf425531fed2125cac75f"
            + "8b82a8f016058e979c14cc1d894dcd566126f8ecdde9f3214e0f94b383b83678"))
    #expect(header == [0, 0, 0, 0] + counting(0x80, 16) + bytes(hex: code))
    #expect(
      cipher().isAuthentic(
        header: header, transport: transport, as: context, guestByteCount: 64, measurement: measurement))
    #expect(
      !cipher().isAuthentic(
        header: header, transport: transport, as: context, guestByteCount: 48, measurement: measurement))
    #expect(try cipher().decrypt(header: header, transport: transport) == plaintext)
  }

  @Test("of key agreement: public keys, shared secret and what is derived from it")
  func keyAgreement() throws {
    let a = try P384.KeyAgreement.PrivateKey(
      rawRepresentation: bytes(
        hex: "46cb4f928e7447e3df9601d4446e3df4953328549d4ee3bb31f2cf539350cb53"
          + "e9f48e048ba02ee8d0ff801f7565379a"))
    let b = try P384.KeyAgreement.PrivateKey(
      rawRepresentation: bytes(
        hex: "09ced8a7166c7a7d74d22585fca4218922704b8b6028f99068363a8d627585b3"
          + "298d31e07705fbcc7684f76ea6bb898b"))
    let qx = bytes(
      hex: "cb830c4bfa2824702d1e71547f4030bdb2a8a788299106bf00728d3207d381b9"
        + "0e8901ac1b86ef6cd1f8e67e0c38c285")
    let certificate = SEVCertificate(
      usage: .diffieHellman, algorithm: .ecdhSHA256, point: Array(a.publicKey.x963Representation),
      version: APIVersion(major: 1, minor: 55))
    // In the certificate numbers are little-endian, and zero up to 72 bytes.
    #expect(Array(certificate.bytes[20..<68]) == qx.reversed())
    #expect(certificate.bytes[68..<92].allSatisfy { $0 == 0 })
    #expect(Array(a.publicKey.x963Representation.prefix(49).dropFirst()) == qx)
    for (own, peer) in [(a, b), (b, a)] {
      let shared = SymmetricKey(data: try own.sharedSecretFromKeyAgreement(with: peer.publicKey))
      #expect(
        bytes(of: shared)
          == bytes(
            hex: "03b1a3bdfe0e12c0abe13e7219002cbbd9dfb890af973767ef77d2b6b62b7caf"
              + "5266235c0483ee93ec10e55e978a01a4"))
      let master = KeyDerivation.key(
        from: shared, label: "sev-master-secret", context: counting(0x40, 16))
      #expect(bytes(of: master) == bytes(hex: "5b17807cd2d38d3ff253e3cf36cf0e77"))
      #expect(
        bytes(of: KeyDerivation.key(from: master, label: "sev-kek"))
          == bytes(hex: "46eea45ca3ea074969d3cb877c93ec30"))
      #expect(
        bytes(of: KeyDerivation.key(from: master, label: "sev-kik"))
          == bytes(hex: "3bdbbb7ba78a406767214e0a45904abc"))
    }
  }
}

@Suite("The memory cipher")
struct FirmwareMemoryTests {
  /// IEEE 1619, appendix B, vectors 1 and 2; the tweak is the data unit's number.
  @Test(
    "is XTS-AES-128",
    arguments: [
      (0x00, 0x00, 0x00, 0, "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e"),
      (
        0x11, 0x22, 0x44, 0x33_3333_3333,
        "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"
      ),
    ] as [(UInt8, UInt8, UInt8, UInt64, String)])
  func published(key: UInt8, tweakKey: UInt8, byte: UInt8, unit: UInt64, expected: String) throws {
    let cipher = MemoryCipher(
      dataKey: SymmetricKey(data: [UInt8](repeating: key, count: 16)),
      tweakKey: SymmetricKey(data: [UInt8](repeating: tweakKey, count: 16)))
    let page = PageIdentity(inode: unit, offset: 0)
    let plain = [UInt8](repeating: byte, count: 32)
    var memory = plain
    try cipher.encrypt(&memory, page: page, offset: 0)
    #expect(memory == bytes(hex: expected))
    try cipher.decrypt(&memory, page: page, offset: 0)
    #expect(memory == plain)
  }

  private let cipher = MemoryCipher(
    dataKey: SymmetricKey(data: counting(1, 16)), tweakKey: SymmetricKey(data: counting(77, 16)))
  private let page = PageIdentity(inode: 12, offset: 0x7000)

  @Test("treats each block of 16 bytes alone, so that any part of a page can be read or written")
  func parts() throws {
    let plain = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
    var whole = plain
    try cipher.encrypt(&whole, page: page, offset: 0)
    for (offset, count) in [(0, 16), (16, 32), (2032, 512), (4080, 16), (0, 0)] {
      var part = Array(plain[offset..<(offset + count)])
      try cipher.encrypt(&part, page: page, offset: offset)
      #expect(part == Array(whole[offset..<(offset + count)]))
      try cipher.decrypt(&part, page: page, offset: offset)
      #expect(part == Array(plain[offset..<(offset + count)]))
    }
  }

  @Test("makes garbage of a page that was copied to another place, and of a block that was moved in it")
  func moved() throws {
    let plain = [UInt8](repeating: 0xAB, count: 4096)
    var memory = plain
    try cipher.encrypt(&memory, page: page, offset: 0)
    // Equal blocks look different everywhere.
    let blocks = Set(stride(from: 0, to: 4096, by: 16).map { Array(memory[$0..<($0 + 16)]) })
    #expect(blocks.count == 256)
    for other in [
      PageIdentity(inode: 13, offset: 0x7000), PageIdentity(inode: 12, offset: 0x8000),
      PageIdentity(inode: 0x7000, offset: 12),
    ] {
      var copied = memory
      try cipher.decrypt(&copied, page: other, offset: 0)
      #expect(zip(copied, plain).count { $0 == $1 } < 100)
    }
    var swapped = Array(memory[16..<32] + memory[..<16])
    try cipher.decrypt(&swapped, page: page, offset: 0)
    #expect(swapped[..<16] != plain[..<16] && swapped[16...] != plain[..<16])
  }

  @Test("spoils a whole block, and no other, where a bit was changed")
  func malleability() throws {
    let plain = [UInt8](repeating: 0, count: 64)
    var memory = plain
    try cipher.encrypt(&memory, page: page, offset: 64)
    memory[20] ^= 1
    try cipher.decrypt(&memory, page: page, offset: 64)
    #expect(memory[..<16] == plain[..<16] && memory[32...] == plain[32...])
    #expect(memory[16..<32].count { $0 != 0 } > 8)
  }
}
