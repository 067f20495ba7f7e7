/// Pictures as they must look.
enum Golden {
  static let committed80 = """
    handoff 7 of vm1: committed, way token, epoch 3 to 4
      took 30.018 s, blackout 312 µs
      source    pid 4711, uid 997, build 1.2.0, baton-vmm-a@vm1.service
      successor pid 4790, uid 997, build 1.2.1

      phase         start µs       took µs
      attach               0         1,204  ▒
      prepare          1,204    30,001,000  ▒▒▒▒▒▒▒▒▒▒▒
      offer       30,002,204            80             ▒
      ready       30,002,284        12,000             ▒
      freeze      30,014,284           140             ████████▌
      stage       30,014,424            21                     █▊
      claim       30,014,445            19                      ██
      receive     30,014,464            85                        █████▏
      commit      30,014,549            30                             ██
      run         30,014,579            17                               █
      release     30,014,596         4,200                                ▒▒▒▒▒▒▒▒▒
                                            ├ 30.014 s ├ blackout 312 µs ─├4.20 ms┤
                                               runs       guest paused      runs
    """

  static let committed120 = """
    handoff 7 of vm1: committed, way token, epoch 3 to 4
      took 30.018 s, blackout 312 µs
      source    pid 4711, uid 997, build 1.2.0, baton-vmm-a@vm1.service
      successor pid 4790, uid 997, build 1.2.1

      phase         start µs       took µs
      attach               0         1,204  ▒
      prepare          1,204    30,001,000  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
      offer       30,002,204            80                         ▒
      ready       30,002,284        12,000                         ▒
      freeze      30,014,284           140                         █████████████████▌
      stage       30,014,424            21                                          ███▏
      claim       30,014,445            19                                             ██▌
      receive     30,014,464            85                                               ███████████▏
      commit      30,014,549            30                                                          ███▉
      run         30,014,579            17                                                             ███
      release     30,014,596         4,200                                                                ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
                                            ├────── 30.014 s ──────├────────── blackout 312 µs ───────────├─── 4.20 ms ───┤
                                                  guest runs                    guest paused                 guest runs
    """

  static let committedASCII = """
    handoff 7 of vm1: committed, way token, epoch 3 to 4
      took 30.018 s, blackout 312 us
      source    pid 4711, uid 997, build 1.2.0, baton-vmm-a@vm1.service
      successor pid 4790, uid 997, build 1.2.1

      phase         start us       took us
      attach               0         1,204  =
      prepare          1,204    30,001,000  ===========
      offer       30,002,204            80             =
      ready       30,002,284        12,000             =
      freeze      30,014,284           140             #########
      stage       30,014,424            21                     ##
      claim       30,014,445            19                      ##
      receive     30,014,464            85                        #####
      commit      30,014,549            30                             ##
      run         30,014,579            17                               #
      release     30,014,596         4,200                                =========
                                            | 30.014 s | blackout 312 us -|4.20 ms|
                                               runs       guest paused      runs
    """

  static let takenBack80 = """
    handoff 7 of vm1: taken back, way token, epoch 3 to 4
      took 30.020 s, blackout 2.31 ms
      source    pid 4711, uid 997, build 1.2.0, baton-vmm-a@vm1.service
      successor pid 4790, uid 997, build 1.2.1
      stateUnreadable (successor): format 7 is newer than 6

      phase         start µs       took µs
      attach               0         1,204  ▒
      prepare          1,204    30,001,000  ▒▒▒▒▒▒▒▒▒▒▒
      offer       30,002,204            80             ▒
      ready       30,002,284        12,000             ▒
      freeze      30,014,284           140             █▏
      stage       30,014,424            21              ▋
      claim       30,014,445            19              ▉
                                            ├ 30.014 s ├ blackout 2.31 ms ├3.40 ms┤
                                               runs       guest paused      runs
    """

  static let parked100 = """
    handoff 7 of vm1: committed, in place, way token, epoch 3 to 4
      took 58.29 ms, blackout 57.31 ms
      source    pid 4711, uid 997, build 1.2.0, baton-vmm-a@vm1.service
      successor pid 4790, uid 997, build 1.2.1

      phase         start µs       took µs
      prepare              0           900  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
      offer              900            80                 ▒▒
      freeze             980           140                   █████████▋
      stage            1,120            21                            ██
      attach           1,141        48,000                              █████████████
      ready           49,141         9,000                                           █████████████████▊
      claim           58,141            19                                                            ▊
      receive         58,160            85                                                            ▉
      commit          58,245            30                                                            █
      run             58,275            17                                                            █
                                            ├──── 980 µs ────├─ 161 µs ─├waits 48 ms─├ paused 9.15 ms ┤
                                               guest runs      paused    in custody     guest paused
    """
}
