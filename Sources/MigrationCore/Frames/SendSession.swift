import BatonWire

/// What RECEIVE_START needs of the source's SEND_START.
public struct SendSession: Hashable, Sendable {
  public var policy: UInt32
  /// The source's PDH certificate, 1 to 16,384 bytes.
  public var pdh: [UInt8]
  /// The session blob, 1 to 16,384 bytes.
  public var session: [UInt8]

  public init(policy: UInt32, pdh: [UInt8], session: [UInt8]) {
    self.policy = policy
    self.pdh = pdh
    self.session = session
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(policy)
    writer.write(blob: pdh)
    writer.write(blob: session)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    policy = try reader.read(UInt32.self, "policy")
    pdh = try reader.readBlob("PDH", maximum: TargetFacts.maximumBlob)
    session = try reader.readBlob("session", maximum: TargetFacts.maximumBlob)
    guard !pdh.isEmpty else { throw .badValue(field: "PDH") }
    guard !session.isEmpty else { throw .badValue(field: "session") }
  }
}
