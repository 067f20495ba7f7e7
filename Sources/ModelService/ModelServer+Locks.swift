import SEVModel

/// Requests that wait for each other's VMs.
extension ModelServer {
  /// Takes VMs for a request and goes on with it, now or when they are free.
  func take(
    _ machines: [VirtualMachineID], for request: PendingRequest, on connection: PeerConnection,
    _ turn: PeerConnection.Turn
  ) {
    request.locked = machines
    if locks.take(machines) {
      go(on: connection, with: request, turn)
    } else {
      connection.state = .waiting(request, turn)
      locks.wait(connection, for: machines)
    }
  }

  private func go(
    on connection: PeerConnection, with request: PendingRequest, _ turn: PeerConnection.Turn
  ) {
    switch turn {
    case .begin: begin(request, on: connection)
    case .goOn(let step): advance(step, of: request, on: connection)
    }
  }

  /// Gives a request's VMs back.
  func release(_ request: PendingRequest) {
    locks.release(request.locked)
    request.locked = []
    for machine in request.machines {
      let count = (using[machine] ?? 1) - 1
      using[machine] = count > 0 ? count : nil
      if count <= 0, doomed.remove(machine) != nil { host.close(machine) }
    }
  }

  /// Lets a request end that still waits for its turn and whose caller is gone.
  func abandon(_ connection: PeerConnection, _ request: PendingRequest, _ turn: PeerConnection.Turn) {
    switch turn {
    case .begin:
      connection.state = .idle
      request.locked = []
      locks.removeWaiters { $0 === connection }
      request.releaseDescriptors()
      release(request)
    case .goOn:
      // It has marked its VMs as being moved, and so it goes on when they are free.
      break
    }
  }

  /// Begins, or goes on with, the requests whose turn it is.
  func takeTurns() {
    while let connection = locks.next() {
      guard case .waiting(let request, let turn) = connection.state else { continue }
      connection.state = .idle
      go(on: connection, with: request, turn)
    }
  }
}
