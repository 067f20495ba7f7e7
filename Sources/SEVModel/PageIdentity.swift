/// Which page of memory something is, whatever address it is mapped at: what the memory cipher is tweaked with
/// in place of the physical address, which a process does not know.
public struct PageIdentity: Hashable, Sendable {
  /// The inode of the file (a memfd) that holds the page. For memory without a file, a number of the process.
  public var inode: UInt64
  /// The page's place in the file in bytes, a multiple of 4096. For memory without a file, its address.
  public var offset: UInt64

  public init(inode: UInt64, offset: UInt64) {
    self.inode = inode
    self.offset = offset
  }
}
