import SEVABI

/// The records between a device library and the model's process, version 2, little-endian, one per seqpacket
/// record.
///
/// A caller has at most one request under way on a connection. The model answers it with `finished`, or with
/// a `question` about the caller's memory, which the caller answers before anything else. Docs/sev-model.md
/// has the layouts for people who write a peer.
package enum ModelWire {
  package static let magic: UInt32 = 0x4D56_4553  // "SEVM"
  package static let version: UInt32 = 2

  /// Magic, version, kind and the record's length in bytes, 4 bytes each.
  package static let headerByteCount = 16
  package static let kindOffset = 8
  package static let lengthOffset = 12

  package enum Kind: UInt32, CaseIterable {
    // From the caller.
    case makeMachine = 1
    case openFirmware = 2
    case memoryEncryptOperation = 3
    case registerRegion = 4
    case unregisterRegion = 5
    case answer = 6
    /// The results of the request that was finished last could not be written to the caller's memory.
    case undeliverable = 7
    case enableCapability = 8
    case getSharedPages = 9
    case setSharedPages = 10
    case firmwareCommand = 11
    case makeVCPU = 12
    case call = 13
    // From the model.
    case finished = 0x81
    case question = 0x82
    /// Carries a descriptor.
    case made = 0x83
    case result = 0x84
  }

  /// A request that is an ioctl with an argument in the caller's memory.
  package enum Request: CaseIterable, Sendable {
    case memoryEncryptOperation
    case registerRegion
    case unregisterRegion
    case enableCapability
    case getSharedPages
    case setSharedPages
    case firmwareCommand

    package var kind: Kind {
      switch self {
      case .memoryEncryptOperation: .memoryEncryptOperation
      case .registerRegion: .registerRegion
      case .unregisterRegion: .unregisterRegion
      case .enableCapability: .enableCapability
      case .getSharedPages: .getSharedPages
      case .setSharedPages: .setSharedPages
      case .firmwareCommand: .firmwareCommand
      }
    }

    /// Bytes of the ioctl's own struct.
    package var argumentByteCount: Int {
      switch self {
      case .memoryEncryptOperation: SEVCommandBlock.byteCount
      case .registerRegion, .unregisterRegion: EncryptedRegion.byteCount
      case .enableCapability: EnableCapability.byteCount
      case .getSharedPages, .setSharedPages: SharedPagesList.byteCount
      case .firmwareCommand: DeviceCommandBlock.byteCount
      }
    }
  }

  /// What a question wants.
  package enum Question: UInt32 {
    case read = 1
    case write = 2
    case pinForReading = 3
    case pinForWriting = 4
    case findFirmware = 5
    case findMachine = 6
    case identifyPages = 7
  }

  /// What a call does; none needs anything of the caller's memory.
  package enum Operation: UInt32, CaseIterable, Sendable {
    case describe = 0
    case checkExtension = 1
    case checkUse = 2
    case checkRun = 3
    case encryptionCPUID = 4
    case vmsaFeatures = 5
    case getVCPUState = 6
    case setVCPUState = 7
    case guestAccess = 8
    case hypercall = 9
    case readMSR = 10
    case writeMSR = 11
    case sharedPages = 12
    case platformCertificates = 13
    case denyMSRs = 14
    case completeHypercall = 15
    case writeCommunicationMSR = 16
    case requestByBlock = 17
    case startVCPU = 18
  }

  /// What `requestByBlock` asks for, in its first argument.
  package enum BlockRequest: UInt32, CaseIterable {
    case setJumpTable = 0
    case jumpTable = 1
    case resetHold = 2
  }

  /// The most bytes that one question reads or writes.
  package static let maximumChunkByteCount = 0x8000
  /// The largest record.
  package static let maximumByteCount = Ask.bytes + maximumChunkByteCount
  /// The most pages that one question identifies.
  package static let maximumIdentifiedPages = maximumChunkByteCount / PageField.byteCount
  /// Room for the largest struct of an ioctl.
  package static let argumentCapacity = EnableCapability.byteCount
  /// Room for the largest struct of a command.
  package static let parameterCapacity = SEVCommandID.maximumParameterByteCount

  /// Writes a record's header.
  package static func storeHeader(_ kind: Kind, byteCount: Int, into record: inout MutableSpan<UInt8>) {
    record.store(magic, at: 0)
    record.store(version, at: 4)
    record.store(kind.rawValue, at: kindOffset)
    record.store(UInt32(byteCount), at: lengthOffset)
  }

  /// The kind of a received record, or nothing if its header is not one of this protocol's.
  package static func kind(of record: Span<UInt8>) -> Kind? {
    guard record.count >= headerByteCount, record.uint32(at: 0) == magic, record.uint32(at: 4) == version,
      record.uint32(at: lengthOffset) == UInt32(record.count)
    else { return nil }
    return Kind(rawValue: record.uint32(at: kindOffset))
  }
}
