import LinuxOS

/// The blackout of handoffs through the registry beside that of the C program, in turns.
struct BlackoutComparison {
  let workspace: Workspace

  /// - Returns: nil when the machine has not enough memory for this size.
  func measure(_ size: BenchPlan.Size) throws -> Results.Comparison? {
    let needed = UInt64(size.ramMebibytes + 768) << 20
    guard try AvailableMemory.byteCount() > needed else {
      Progress.say(
        "\(size.name) is left out: only \(try AvailableMemory.byteCount() >> 20) MiB of memory are free"
      )
      return nil
    }
    let registry = try workspace.startRegistry()
    var floor = Distribution()
    var floorPhases: [String: Distribution] = [:]
    var ours = Distribution()
    for block in 0..<size.blocks {
      let count = size.handoffs * (block + 1) / size.blocks - size.handoffs * block / size.blocks
      Progress.say("\(size.name), block \(block + 1) of \(size.blocks): \(count) handoffs in C")
      let samples = try FloorRun.run(
        handoffs: count, ramMebibytes: size.ramMebibytes, way: size.way, workspace)
      for sample in samples {
        floor.record(nanoseconds: sample.blackoutNanoseconds)
        for (name, duration) in sample.phases {
          floorPhases[name, default: Distribution()].record(nanoseconds: duration)
        }
      }
      Progress.say(
        "\(size.name), block \(block + 1) of \(size.blocks): \(count) handoffs through batond")
      let guest = try GuestChain(
        GuestSetup(
          name: "bench-\(size.ramMebibytes)-\(block)", ramMebibytes: size.ramMebibytes, way: size.way),
        workspace)
      for _ in 0..<count { ours.record(nanoseconds: try guest.handOver()) }
      try guest.end()
    }
    let phases = try RegistryPhases.read(workspace, socket: workspace.varlinkSocket)
    registry.kill()
    guard let floorFigures = floor.figures, let ourFigures = ours.figures else { return nil }
    return Results.Comparison(
      way: size.way, ramMebibytes: size.ramMebibytes, floor: floorFigures, ours: ourFigures,
      floorPhases: size.way.floorPhases.compactMap { name in
        floorPhases[name]?.figures.map { Results.Phase(name: name, figures: $0) }
      },
      ourPhases: phases)
  }

  /// Real vCPUs, without a floor: the C program has none.
  func measureReal(_ size: BenchPlan.Size) throws -> Results.RealVCPUs {
    guard Host.opensKVM else { return Results.RealVCPUs(reason: "/dev/kvm does not open", figures: nil) }
    let registry = try workspace.startRegistry()
    Progress.say("\(size.ramMebibytes) MiB with real vCPUs: \(size.handoffs) handoffs")
    let guest = try GuestChain(
      GuestSetup(name: "bench-kvm", ramMebibytes: size.ramMebibytes, vcpu: "kvm"), workspace)
    var blackout = Distribution()
    for _ in 0..<size.handoffs { blackout.record(nanoseconds: try guest.handOver()) }
    try guest.end()
    registry.kill()
    return Results.RealVCPUs(reason: nil, figures: blackout.figures)
  }
}
