public import SEVModel

/// How the model's server is set up.
public struct ModelServerOptions: Hashable, Sendable {
  public var configuration: ModelConfiguration
  /// The most request connections, one per thread of a caller; further ones are closed at once.
  public var maximumConnections: Int
  /// The most VMs and firmware descriptors together; further ones are refused with ENFILE.
  public var maximumDescriptors: Int

  public init(
    configuration: ModelConfiguration = ModelConfiguration(), maximumConnections: Int = 8192,
    maximumDescriptors: Int = 8192
  ) {
    self.configuration = configuration
    self.maximumConnections = maximumConnections
    self.maximumDescriptors = maximumDescriptors
  }
}
