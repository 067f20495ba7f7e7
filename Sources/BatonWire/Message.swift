/// A message before it is cut into records, or after its records were put together.
///
/// A message whose payload or descriptors do not fit into one record goes on in further records of
/// the same type and sequence. Only complete messages mean anything: one cut off by a broken
/// connection never happened.
public struct Message: Hashable, Sendable {
  /// Most payload bytes of one message, over all its records.
  public static let maximumPayload = 1_048_576
  /// Most descriptors of one message, over all its records.
  public static let maximumDescriptors = 4_048

  public var type: UInt16
  public var payload: [UInt8]
  public var descriptorCount: Int

  public init(type: UInt16, payload: [UInt8], descriptorCount: Int) {
    self.type = type
    self.payload = payload
    self.descriptorCount = descriptorCount
  }

  /// One record as it goes over the socket.
  public struct Record: Hashable, Sendable {
    /// Header and payload.
    public var bytes: [UInt8]
    /// Which of the message's descriptors travel with it.
    public var descriptors: Range<Int>
  }

  /// Cuts the message into records.
  ///
  /// - Precondition: payload and descriptors are within the limits above.
  public func records(version: UInt16, sequence: UInt32) -> [Record] {
    precondition(payload.count <= Self.maximumPayload && descriptorCount <= Self.maximumDescriptors)
    var records: [Record] = []
    var byte = 0
    var descriptor = 0
    repeat {
      let bytes = min(payload.count - byte, RecordHeader.maximumPayload)
      let descriptors = min(descriptorCount - descriptor, RecordHeader.maximumDescriptors)
      let more = byte + bytes < payload.count || descriptor + descriptors < descriptorCount
      var writer = ByteWriter(capacity: RecordHeader.byteCount + bytes)
      RecordHeader(
        version: version, type: type, sequence: sequence, payloadByteCount: bytes,
        descriptorCount: descriptors, isContinued: more
      ).encode(into: &writer)
      writer.write(raw: Array(payload[byte..<(byte + bytes)]))
      records.append(Record(bytes: writer.bytes, descriptors: descriptor..<(descriptor + descriptors)))
      byte += bytes
      descriptor += descriptors
    } while byte < payload.count || descriptor < descriptorCount
    return records
  }
}

/// Puts records together to messages and checks what every record must keep.
public struct MessageAssembler: Sendable {
  private var partial: Message?
  private var sequence: UInt32 = 0
  /// The agreed version, or nil before the peers agreed (then only the header's layout counts).
  public var version: UInt16?

  public init(version: UInt16? = nil) { self.version = version }

  /// Whether a message has begun and is not complete.
  public var isInMessage: Bool { partial != nil }

  /// Takes one record.
  ///
  /// - Parameters:
  ///   - bytes: Header and payload as received.
  ///   - descriptorCount: How many descriptors came with it.
  /// - Returns: The message if the record completes it, else nil.
  /// - Throws: ``WireError``; the connection is of no more use then.
  public mutating func take(_ bytes: [UInt8], descriptorCount: Int) throws(WireError) -> Message? {
    var reader = ByteReader(bytes)
    let header = try RecordHeader(decoding: &reader)
    if let version, header.version != version { throw .wrongVersion(header.version) }
    guard header.payloadByteCount == reader.remaining else {
      throw .wrongLength(announced: header.payloadByteCount, received: reader.remaining)
    }
    guard header.descriptorCount == descriptorCount else {
      throw .wrongDescriptorCount(announced: header.descriptorCount, received: descriptorCount)
    }
    var message: Message
    if let begun = partial {
      guard header.type == begun.type, header.sequence == sequence else { throw .brokenContinuation }
      guard header.payloadByteCount > 0 || header.descriptorCount > 0 else { throw .brokenContinuation }
      message = begun
    } else {
      guard header.sequence == sequence &+ 1 else { throw .badValue(field: "sequence") }
      sequence = header.sequence
      message = Message(type: header.type, payload: [], descriptorCount: 0)
    }
    message.payload.append(contentsOf: try reader.readRaw(reader.remaining, "payload"))
    message.descriptorCount += descriptorCount
    guard message.payload.count <= Message.maximumPayload else {
      throw .payloadTooLong(message.payload.count)
    }
    guard message.descriptorCount <= Message.maximumDescriptors else {
      throw .tooManyDescriptors(message.descriptorCount)
    }
    partial = header.isContinued ? message : nil
    return header.isContinued ? nil : message
  }
}
