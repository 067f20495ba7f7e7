public import LinuxOS

/// A whole mapping of one shared file that holds guest memory, and the file's identity, which is part of what
/// the memory is encrypted with.
public struct GuestMemory: Hashable, Sendable {
  /// The mapping's first byte in this process.
  public let address: UInt
  public let byteCount: Int
  public let inode: UInt64

  /// - Parameters:
  ///   - mapping: Of the file from its start. It must outlive every use of this value.
  ///   - file: The file's identity.
  public init(_ mapping: SharedMapping, of file: FileIdentity) {
    address = mapping.address
    byteCount = mapping.byteCount
    inode = file.inode
  }
}
