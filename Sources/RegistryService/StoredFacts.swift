import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface

/// What a registry has to know of a guest in handoff, beyond journal and descriptors, to give it to a next
/// claimant: whose guest it is, what was offered, and what was staged.
///
/// A memfd of its own in the store. It is mapped, so that a stage is noted in the middle of the blackout without
/// a system call. Little-endian; offer and stage stand there as payloads of their records:
///
///     0  magic   8  protocol version, owner's slot (1 for a, 2 for b, 0 for none), user
///     16 descriptors and bytes of the offer
///     24 which stage counts: its place (1 or 2) << 32 | bytes, 0 for none
///     32 first place   544  second place   1056  offer
final class StoredFacts {
  let memfd: OwnedDescriptor
  private let mapping: SharedMapping
  /// The place of the stage that counts, 0 for none.
  private var place: UInt64

  private enum Layout {
    static let magic: UInt64 = 0x3154_4341_464e_5442  // "BTNFACT1"
    static let stageWord = 24
    static let stages = 32
    static let stageRoom = 512
    static let offer = stages + 2 * stageRoom
  }

  /// Types of the two records (``VMMMessage/type``).
  private static let offerType: UInt16 = 2
  private static let stageType: UInt16 = 4

  /// What is read back.
  struct Contents {
    let user: UInt32
    /// The slot of the owner that staged.
    let slot: Slot?
    let handoff: UInt64
    let manifest: Manifest
    let stage: Stage?
  }

  private init(memfd: consuming OwnedDescriptor, mapping: SharedMapping, place: UInt64) {
    self.memfd = memfd
    self.mapping = mapping
    self.place = place
  }

  /// - Parameters:
  ///   - user: Whose guest it is.
  ///   - slot: Where its owner lives.
  static func create(
    user: UInt32, slot: Slot? = nil, handoff: UInt64, manifest: Manifest
  ) throws(SystemError) -> StoredFacts {
    let offer = VMMMessage.offer(handoff: handoff, manifest).encoded()
    var writer = ByteWriter(capacity: Layout.offer + offer.payload.count)
    writer.write(Layout.magic)
    writer.write(ProtocolVersion.spoken.newest)
    writer.write(number(of: slot))
    writer.write(user)
    writer.write(UInt32(offer.descriptorCount))
    writer.write(UInt32(offer.payload.count))
    writer.write(raw: Array(repeating: 0, count: Layout.offer - Layout.stageWord))
    writer.write(raw: offer.payload)
    let byteCount = (writer.bytes.count + 4095) / 4096 * 4096
    let memfd = try Memfd.create(name: "baton-facts", byteCount: UInt64(byteCount))
    try memfd.addSeals(.ram)
    let mapping = try SharedMapping(memfd, byteCount: byteCount)
    try mapping.keepPrivate()
    mapping.write(writer.bytes, at: 0)
    return StoredFacts(memfd: memfd, mapping: mapping, place: 0)
  }

  /// Notes what was staged. A registry that ends in the middle leaves the stage before.
  func note(_ stage: Stage, handoff: UInt64) {
    let payload = VMMMessage.stage(handoff: handoff, stage).encoded().payload
    precondition(payload.count <= Layout.stageRoom, "a stage is longer than its place")
    let next: UInt64 = place == 1 ? 2 : 1
    mapping.write(payload, at: Layout.stages + Int(next - 1) * Layout.stageRoom)
    mapping.store64(next << 32 | UInt64(payload.count), at: Layout.stageWord)
    place = next
  }

  /// Reads what came back from the store.
  ///
  /// - Returns: Nil when it is no such file, or one of a protocol that this registry does not speak.
  static func open(_ memfd: consuming OwnedDescriptor) -> (StoredFacts, Contents)? {
    guard let identity = try? memfd.identity(), let seals = try? memfd.seals(), seals.isSuperset(of: .ram),
      (UInt64(Layout.offer)...maximumByteCount).contains(identity.byteCount),
      let mapping = try? SharedMapping(memfd, byteCount: Int(identity.byteCount)),
      let (contents, place) = try? read(mapping.read(at: 0, count: mapping.byteCount))
    else { return nil }
    return (StoredFacts(memfd: memfd, mapping: mapping, place: place), contents)
  }

  private static let maximumByteCount = UInt64(Layout.offer + Message.maximumPayload + 4096)

  private static func read(_ bytes: [UInt8]) throws(WireError) -> (Contents, place: UInt64) {
    var reader = ByteReader(bytes)
    guard try reader.read(UInt64.self, "magic") == Layout.magic else { throw .badValue(field: "magic") }
    let version = try reader.read(UInt16.self, "version")
    guard (ProtocolVersion.spoken.oldest...ProtocolVersion.spoken.newest).contains(version) else {
      throw .wrongVersion(version)
    }
    let place = try reader.read(UInt16.self, "slot")
    guard place == 0 || slot(of: place) != nil else { throw .badValue(field: "slot") }
    let user = try reader.read(UInt32.self, "user")
    let descriptors = Int(try reader.read(UInt32.self, "descriptors"))
    let offerCount = Int(try reader.read(UInt32.self, "offer"))
    let word = try reader.read(UInt64.self, "stage")
    let places = [
      try reader.readRaw(Layout.stageRoom, "first stage"),
      try reader.readRaw(Layout.stageRoom, "second stage"),
    ]
    let offer = Message(
      type: offerType, payload: try reader.readRaw(offerCount, "offer"), descriptorCount: descriptors)
    guard case .offer(let handoff, let manifest) = try VMMMessage(decoding: offer) else {
      throw .badValue(field: "offer")
    }
    let stage = try Self.stage(word, places, handoff)
    return (
      Contents(user: user, slot: slot(of: place), handoff: handoff, manifest: manifest, stage: stage),
      word >> 32
    )
  }

  private static func number(of slot: Slot?) -> UInt16 {
    switch slot {
    case .a: 1
    case .b: 2
    case nil: 0
    }
  }

  private static func slot(of number: UInt16) -> Slot? {
    switch number {
    case 1: .a
    case 2: .b
    case _: nil
    }
  }

  private static func stage(
    _ word: UInt64, _ places: [[UInt8]], _ handoff: UInt64
  ) throws(WireError) -> Stage? {
    if word == 0 { return nil }
    let count = Int(word & 0xffff_ffff)
    guard (1...2).contains(word >> 32), count <= Layout.stageRoom else { throw .badValue(field: "stage") }
    let payload = Array(places[Int(word >> 32) - 1].prefix(count))
    let message = Message(type: stageType, payload: payload, descriptorCount: 1)
    guard case .stage(let number, let stage) = try VMMMessage(decoding: message), number == handoff else {
      throw .badValue(field: "stage")
    }
    return stage
  }
}
