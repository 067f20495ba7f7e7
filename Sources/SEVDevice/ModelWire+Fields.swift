import SEVABI

/// Where the fields of the records are, in bytes from the record's start.
extension ModelWire {
  /// `makeMachine`, `openFirmware` and `makeVCPU`.
  package enum Make {
    package static let addressSpace = 16
    /// The machine type (8 bytes); 1 to open the firmware device for writing (4 bytes); the vCPU's number
    /// (4 bytes).
    package static let detail = 24
    package static let byteCount = 32
  }

  /// An ioctl: its argument and, sent ahead, what is in memory there and at the command's own struct, and
  /// whether it can be written.
  package enum RequestField {
    package static let addressSpace = 16
    package static let argument = 24
    /// All ones: no limit.
    package static let lockablePages = 32
    package static let flags = 40
    package static let parameterByteCount = 44
    package static let parameterAddress = 48
    /// The number that the second attached descriptor has in the caller.
    package static let attachedNumber = 56
    package static let argumentBytes = 64
    package static let parameterBytes = argumentBytes + argumentCapacity
    package static let byteCount = parameterBytes + parameterCapacity

    package static let argumentReadable: UInt32 = 1 << 0
    package static let argumentWritable: UInt32 = 1 << 1
    package static let parametersReadable: UInt32 = 1 << 2
    package static let parametersWritable: UInt32 = 1 << 3
    package static let allAccessible: UInt32 = 0xF
    package static let hasAttached: UInt32 = 1 << 4
    package static let knownFlags: UInt32 = 0x1F
  }

  /// `finished`: the errno, and bytes to write to the two places that were sent ahead.
  package enum Finished {
    package static let error = 16
    package static let flags = 20
    package static let argumentBytes = 24
    package static let parameterBytes = argumentBytes + argumentCapacity
    package static let byteCount = parameterBytes + parameterCapacity

    package static let hasArgument: UInt32 = 1 << 0
    package static let hasParameters: UInt32 = 1 << 1
  }

  /// `made`: what fstat says of the descriptor.
  package enum Made {
    package static let device = 16
    package static let inode = 24
    package static let byteCount = 32
  }

  /// `question`: what is asked, and the bytes of a write.
  package enum Ask {
    package static let question = 16
    package static let descriptor = 20
    package static let address = 24
    package static let count = 32
    package static let bytes = 40
  }

  /// `answer`: 1 for yes, 0 for no, and the bytes of a read or of page identities. A descriptor that was
  /// asked for travels with it.
  package enum Answer {
    package static let succeeded = 16
    package static let bytes = 24
  }

  /// `call`: the operation and its arguments, 8 bytes each.
  package enum Call {
    package static let addressSpace = 16
    package static let operation = 24
    package static let arguments = 32
    package static let argumentCount = 6
    package static let bytes = 80
  }

  /// `result`: the errno and what the operation gives, 8 bytes each.
  package enum Result {
    package static let error = 16
    package static let outcome = 20
    package static let values = 24
    package static let valueCount = 4
    package static let bytes = 56
  }

  /// The identity of a page in an answer.
  package enum PageField {
    package static let inode = 0
    package static let offset = 8
    package static let byteCount = 16
  }

  /// One piece of a guest access: where it is; its bytes follow.
  package enum Piece {
    package static let inode = 0
    package static let pageOffset = 8
    package static let offset = 16
    package static let count = 20
    package static let bytes = 24
  }

  /// One range of `denyMSRs`.
  package enum MSRRange {
    package static let first = 0
    package static let last = 4
    package static let byteCount = 8
  }

  /// What `describe` says about the model, in its first value.
  package enum Feature {
    package static let enabled: UInt64 = 1 << 0
    package static let encryptedState: UInt64 = 1 << 1
    package static let ciphertext: UInt64 = 1 << 2
    package static let firmwareVMSA: UInt64 = 1 << 3
    package static let move: UInt64 = 1 << 4
    package static let copy: UInt64 = 1 << 5
    package static let localMigration: UInt64 = 1 << 6
    package static let initialize2: UInt64 = 1 << 7
    /// Descriptors of dead VMs are readable.
    package static let deathMark: UInt64 = 1 << 8
  }
}
