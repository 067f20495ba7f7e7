/// How the model's server is set up.
public struct ModelServerOptions: Hashable, Sendable {
  /// The most request connections, one per thread of a caller; further ones are closed at once.
  public var maximumConnections: Int
  /// The most VMs and firmware descriptors together; further ones are refused with ENFILE.
  public var maximumDescriptors: Int

  /// Whether a caller without CAP_IPC_LOCK can pin no more than its memlock limit, as with a kernel.
  public var mindsMemoryLockLimit: Bool

  /// How many pages the Secure Processor encrypts or takes for a migration in a second; nil for as many as it can.
  public var pagesPerSecond: UInt64?

  public init(
    maximumConnections: Int = 8192, maximumDescriptors: Int = 8192, mindsMemoryLockLimit: Bool = true,
    pagesPerSecond: UInt64? = nil
  ) {
    self.maximumConnections = maximumConnections
    self.maximumDescriptors = maximumDescriptors
    self.mindsMemoryLockLimit = mindsMemoryLockLimit
    self.pagesPerSecond = pagesPerSecond
  }
}
