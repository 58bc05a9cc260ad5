# SPDX-License-Identifier: Apache-2.0
# The commands of Vivado that a project's script uses, as far as its arguments can be wrong.
#
# Knows cells with their pins and interfaces, sources with their modules, runs and reports. Whatever
# it does not know is an error. `vivado_report` writes down what the script has built.

set tcl_interactive 0
namespace eval v {
  variable part "" board "" project "" design "" ran 0 opened 0 validated 0 wrapped 0
  variable sources {} constraints {} cells {} nets {} wires {} addresses {} properties {}
  # Pins (name, direction) and interfaces (name, mode) of cores; * stands for a number.
  variable cores {
    processing_system7 {
      {FCLK_CLK0 O FCLK_RESET0_N O IRQ_F2P I M_AXI_GP0_ACLK I S_AXI_HP0_ACLK I}
      {M_AXI_GP0 Master S_AXI_HP0 Slave}}
    zynq_ultra_ps_e {
      {pl_clk0 O pl_resetn0 O pl_ps_irq0 I maxihpm0_fpd_aclk I saxihp0_fpd_aclk I}
      {M_AXI_HPM0_FPD Master S_AXI_HP0_FPD Slave}}
    clk_wiz {{clk_in1 I clk_out1 O locked O resetn I} {}}
    proc_sys_reset {
      {slowest_sync_clk I ext_reset_in I dcm_locked I interconnect_aresetn O peripheral_aresetn O}
      {}}
    axi_interconnect {
      {ACLK I ARESETN I S*_ACLK I S*_ARESETN I M*_ACLK I M*_ARESETN I}
      {S*_AXI Slave M*_AXI Master}}
    smartconnect {{aclk I aresetn I} {S*_AXI Slave M*_AXI Master}}
  }
  variable optional {axi_interconnect_0/* zynq_ps/*}
}

proc v::fail {text} { error "vivado: $text" }

# Splits arguments into options (with a value, or flags) and the rest; refuses unknown options.
proc v::arguments {command given valued flags} {
  set options [dict create]
  set rest {}
  for {set i 0} {$i < [llength $given]} {incr i} {
    set word [lindex $given $i]
    if {[regexp {^-[a-z_]+$} $word]} {
      set name [string range $word 1 end]
      if {$name in $valued} {
        incr i
        if {$i >= [llength $given]} { v::fail "$command: -$name has no value" }
        dict set options $name [lindex $given $i]
      } elseif {$name in $flags} {
        dict set options $name 1
      } else {
        v::fail "$command: unknown option -$name"
      }
    } else {
      lappend rest $word
    }
  }
  return [list $options $rest]
}

proc v::count {command rest least most} {
  if {[llength $rest] < $least || [llength $rest] > $most} {
    v::fail "$command: found [llength $rest] arguments ($rest), expected $least to $most"
  }
}

proc v::need_project {command} {
  if {$v::project eq ""} { v::fail "$command: no project is open" }
}

proc create_project {args} {
  lassign [v::arguments create_project $args {part} {force}] options rest
  v::count create_project $rest 2 2
  if {![dict exists $options part]} { v::fail "create_project: no part" }
  if {![regexp {^xc(7z|zu|k26)[0-9a-z]*-[0-9A-Za-z-]+$} [dict get $options part]]} {
    v::fail "create_project: unknown part [dict get $options part]"
  }
  set v::part [dict get $options part]
  set v::project [lindex $rest 0]
  set v::folder [lindex $rest 1]
  return $v::project
}
proc current_project {} { v::need_project current_project; return $v::project }
proc close_project {} { v::need_project close_project; set v::project "" }

proc get_board_parts {args} {
  lassign [v::arguments get_board_parts $args {} {quiet}] options rest
  v::count get_board_parts $rest 1 1
  if {![regexp {^[a-z.]+:[a-z0-9_-]+:part0:\*$} $rest]} { v::fail "get_board_parts: found $rest" }
  if {[info exists ::env(NO_BOARD_FILES)]} { return {} }
  return [list [string map {:* :1.0} [lindex $rest 0]] [string map {:* :1.1} [lindex $rest 0]]]
}

proc add_files {args} {
  v::need_project add_files
  lassign [v::arguments add_files $args {fileset} {norecurse}] options rest
  v::count add_files $rest 1 1
  set fileset [dict get $options fileset]
  foreach file [lindex $rest 0] {
    if {![file isfile $file]} { v::fail "add_files: $file does not exist" }
    if {[file pathtype $file] ne "absolute"} { v::fail "add_files: $file is relative" }
    switch $fileset {
      sources_1 {
        if {[file extension $file] ni {.v .sv .vh}} { v::fail "add_files: $file is no source" }
        lappend v::sources $file
      }
      constrs_1 {
        if {[file extension $file] ne ".xdc"} { v::fail "add_files: $file is no constraint" }
        v::constraints $file
        lappend v::constraints $file
      }
      default { v::fail "add_files: unknown fileset $fileset" }
    }
  }
}
proc v::constraints {file} {
  set channel [open $file]
  set text [read $channel]
  close $channel
  foreach line [split $text \n] {
    if {$line eq "" || [string match "#*" $line]} continue
    if {![regexp {^set_property BITSTREAM\.[A-Z._]+ \S+ \[current_design\]$} $line]} {
      v::fail "$file: unknown constraint $line"
    }
  }
}
proc update_compile_order {args} {
  lassign [v::arguments update_compile_order $args {fileset} {}] options rest
  v::count update_compile_order $rest 0 0
  if {[dict get $options fileset] ne "sources_1"} { v::fail "update_compile_order: $options" }
}
proc get_filesets {name} {
  if {$name ni {sources_1 constrs_1 sim_1}} { v::fail "get_filesets: unknown $name" }
  return "fileset:$name"
}
proc get_files {name} {
  if {$name eq "top.bd" && $v::design eq "top"} { return $name }
  v::fail "get_files: unknown $name"
}

proc create_bd_design {name} { v::need_project create_bd_design; set v::design $name }

proc get_ipdefs {args} {
  lassign [v::arguments get_ipdefs $args {filter} {all}] options rest
  v::count get_ipdefs $rest 0 0
  if {![regexp {^VLNV =~ xilinx.com:ip:(\w+):\* && UPGRADE_VERSIONS == ""$} \
      [dict get $options filter] _ name]} {
    v::fail "get_ipdefs: unknown filter [dict get $options filter]"
  }
  if {![dict exists $v::cores $name]} { return {} }
  return [list "xilinx.com:ip:$name:5.5"]
}

# Pins and interfaces of a module, as Vivado would infer them from the names of its ports.
proc v::module {name} {
  foreach file $v::sources {
    if {[file extension $file] ne ".v"} continue
    set channel [open $file]
    set text [read $channel]
    close $channel
    if {![regexp "\\mmodule $name \\((.*?)\\);" $text _ ports]} continue
    set pins {}
    set modes {}
    foreach {_ direction pin} [regexp -all -inline \
        {(input|output) +wire (?:\[[^\]]*\] )?(\w+)} $ports] {
      if {[regexp {^([sm])_(axi|axis)_(\w+?)_[a-z]+$} $pin _ side kind rest]} {
        dict set modes "${side}_${kind}_$rest" [expr {$side eq "m" ? "Master" : "Slave"}]
      } else {
        dict set pins $pin [expr {$direction eq "input" ? "I" : "O"}]
      }
    }
    return [list $pins $modes]
  }
  v::fail "create_bd_cell: no Verilog source has the module $name"
}

proc create_bd_cell {args} {
  lassign [v::arguments create_bd_cell $args {type vlnv reference} {}] options rest
  v::count create_bd_cell $rest 1 1
  set cell [lindex $rest 0]
  if {$v::design eq ""} { v::fail "create_bd_cell: no design" }
  if {[dict exists $v::cells $cell]} { v::fail "create_bd_cell: $cell exists" }
  switch [dict get $options type] {
    ip {
      set kind [lindex [split [dict get $options vlnv] :] 2]
      if {![dict exists $v::cores $kind]} { v::fail "create_bd_cell: unknown [dict get $options vlnv]" }
      dict set v::cells $cell [list $kind {*}[dict get $v::cores $kind]]
    }
    module {
      set name [dict get $options reference]
      dict set v::cells $cell [list $name {*}[v::module $name]]
    }
    default { v::fail "create_bd_cell: unknown type" }
  }
  return $cell
}
proc get_bd_cells {name} {
  if {![dict exists $v::cells $name]} { v::fail "get_bd_cells: unknown $name" }
  return $name
}

proc v::find {command path table} {
  if {![regexp {^(\w+)/(\w+)$} $path _ cell name]} { v::fail "$command: found $path" }
  if {![dict exists $v::cells $cell]} { v::fail "$command: unknown cell $cell" }
  dict for {pattern value} [lindex [dict get $v::cells $cell] $table] {
    if {$pattern eq $name} { return $value }
    set number [string map {* ([0-9][0-9])} $pattern]
    if {[regexp "^$number\$" $name _ index]} {
      set property CONFIG.NUM_[string range $name 0 0]I
      if {![dict exists $v::properties $cell $property]} { v::fail "$cell has no $property" }
      if {[scan $index %d] >= [dict get $v::properties $cell $property]} {
        v::fail "$command: $path is beyond $property"
      }
      return $value
    }
  }
  v::fail "$command: unknown pin $path"
}
proc get_bd_pins {path} { v::find get_bd_pins $path 1; return $path }
proc get_bd_intf_pins {path} { v::find get_bd_intf_pins $path 2; return $path }

proc connect_bd_net {args} {
  if {[llength $args] < 2} { v::fail "connect_bd_net: found $args" }
  set driver ""
  foreach pin $args {
    if {[v::find connect_bd_net $pin 1] eq "O"} {
      if {$driver ne ""} { v::fail "connect_bd_net: $driver and $pin both drive" }
      set driver $pin
    }
  }
  if {$driver eq ""} { v::fail "connect_bd_net: nothing drives $args" }
  foreach pin $args {
    if {$pin eq $driver} continue
    if {[dict exists $v::nets $pin]} { v::fail "connect_bd_net: $pin is driven twice" }
    dict set v::nets $pin $driver
  }
}
proc connect_bd_intf_net {args} {
  v::count connect_bd_intf_net $args 2 2
  set modes {}
  foreach pin $args {
    if {$pin in [concat [dict keys $v::wires] [dict values $v::wires]]} {
      v::fail "connect_bd_intf_net: $pin is connected twice"
    }
    dict set modes [v::find connect_bd_intf_net $pin 2] $pin
  }
  if {[dict size $modes] != 2} { v::fail "connect_bd_intf_net: $args have the same mode" }
  dict set v::wires [dict get $modes Slave] [dict get $modes Master]
}

proc apply_bd_automation {args} {
  lassign [v::arguments apply_bd_automation $args {rule config} {}] options rest
  v::count apply_bd_automation $rest 1 1
  set kind [lindex [dict get $v::cells [lindex $rest 0]] 0]
  if {[dict get $options rule] ne "xilinx.com:bd_rule:$kind"} { v::fail "apply_bd_automation: $args" }
  if {[dict get [dict get $options config] apply_board_preset] && $v::board eq ""} {
    v::fail "apply_bd_automation: no board whose preset could be applied"
  }
}

proc set_property {args} {
  lassign [v::arguments set_property $args {dict} {}] options rest
  if {[dict exists $options dict]} {
    v::count set_property $rest 1 1
    set pairs [dict get $options dict]
    if {[llength $pairs] % 2} { v::fail "set_property: a property has no value: $pairs" }
  } else {
    v::count set_property $rest 3 3
    set pairs [lrange $rest 0 1]
  }
  set object [lindex $rest end]
  foreach {name value} $pairs {
    if {$value eq ""} { v::fail "set_property: $name is empty" }
    if {$name eq "board_part"} { set v::board $value }
    dict set v::properties $object $name $value
  }
}
proc get_property {name object} {
  switch $name {
    VLNV { return $object }
    PROGRESS { return [expr {$v::ran ? "100%" : "0%"}] }
    STATUS { return "write_bitstream Complete!" }
    STATS.WNS { return [expr {[info exists ::env(SLACK)] ? $::env(SLACK) : 0.25}] }
    default { v::fail "get_property: unknown $name" }
  }
}

proc get_bd_addr_segs {path} {
  if {![regexp {^(\w+/\w+)/\*$} $path _ interface]} { v::fail "get_bd_addr_segs: found $path" }
  if {[v::find get_bd_addr_segs $interface 2] ne "Slave"} { v::fail "$interface is no slave" }
  return $interface
}
proc assign_bd_address {args} {
  lassign [v::arguments assign_bd_address $args {offset range} {}] options rest
  if {[llength $args] == 0} { dict set v::addresses rest 1; return }
  v::count assign_bd_address $rest 1 1
  set offset [expr {[dict get $options offset]}]
  set range [expr {[dict get $options range]}]
  if {$range < 4096 || $offset % $range} { v::fail "assign_bd_address: $offset, $range" }
  dict for {other at} $v::addresses {
    if {$at == $offset} { v::fail "assign_bd_address: $other and $rest share $offset" }
  }
  if {![dict exists $v::wires [lindex $rest 0]]} { v::fail "assign_bd_address: $rest is open" }
  dict set v::addresses [lindex $rest 0] $offset
}

# Every input is driven, every interface connected, every register has an address.
proc validate_bd_design {} {
  dict for {cell found} $v::cells {
    lassign $found kind pins modes
    set all {}
    dict for {pattern value} $pins { lappend all [list $pattern $value pin] }
    dict for {pattern value} $modes { lappend all [list $pattern $value interface] }
    foreach entry $all {
      lassign $entry pattern value what
      set names [list $pattern]
      if {[string first * $pattern] >= 0} {
        set names {}
        set most [dict get $v::properties $cell CONFIG.NUM_[string range $pattern 0 0]I]
        for {set i 0} {$i < $most} {incr i} { lappend names [string map [list * [format %02d $i]] $pattern] }
      }
      foreach name $names {
        set path $cell/$name
        if {$what eq "pin" && $value eq "I" && ![dict exists $v::nets $path]} {
          v::fail "validate_bd_design: nothing drives $path"
        }
        if {$what eq "interface"
            && $path ni [concat [dict keys $v::wires] [dict values $v::wires]]} {
          v::fail "validate_bd_design: $path is open"
        }
        if {$name eq "s_axi_control" && ![dict exists $v::addresses $path]} {
          v::fail "validate_bd_design: $path has no address"
        }
      }
    }
  }
  if {![dict exists $v::addresses rest]} { v::fail "validate_bd_design: memory has no address" }
  set v::validated 1
}
proc save_bd_design {} { if {!$v::validated} { v::fail "save_bd_design: not validated" } }
proc make_wrapper {args} {
  lassign [v::arguments make_wrapper $args {files fileset} {import top}] options rest
  v::count make_wrapper $rest 0 0
  set v::wrapped 1
}
proc get_runs {name} {
  if {$name ni {synth_1 impl_1}} { v::fail "get_runs: unknown $name" }
  return $name
}
proc launch_runs {args} {
  lassign [v::arguments launch_runs $args {jobs to_step} {}] options rest
  if {$rest ne "impl_1" || [dict get $options to_step] ne "write_bitstream"} {
    v::fail "launch_runs: $args"
  }
  if {![string is integer -strict [dict get $options jobs]]} { v::fail "launch_runs: $args" }
  if {!$v::wrapped || ![dict exists $v::properties fileset:sources_1 top]} {
    v::fail "launch_runs: no top"
  }
}
proc wait_on_run {name} {
  if {[info exists ::env(RUN_FAILS)]} return
  foreach file {andpop.runs/impl_1/top_wrapper.bit andpop.gen/sources_1/bd/top/hw_handoff/top.hwh} {
    file mkdir [file dirname $v::folder/$file]
    set channel [open $v::folder/$file w]
    puts $channel [file tail $file]
    close $channel
  }
  set v::ran 1
}
proc open_run {name} { if {!$v::ran} { v::fail "open_run: $name did not run" }; set v::opened 1 }
foreach {report flags} {report_utilization hierarchical report_timing_summary {} report_power {}} {
  proc $report {args} [format {
    lassign [v::arguments %s $args {file} {%s}] options rest
    v::count %s $rest 0 0
    if {!$v::opened} { v::fail "%s: no run is open" }
    close [open [dict get $options file] w]
  } $report $flags $report $report]
}

proc unknown {args} { error "vivado: unknown command [lindex $args 0]" }

# What was built, a line for each thing.
proc vivado_report {file} {
  set channel [open $file w]
  puts $channel "part $v::part"
  puts $channel "board $v::board"
  foreach source $v::sources { puts $channel "source $source" }
  dict for {cell found} $v::cells { puts $channel "cell $cell [lindex $found 0]" }
  dict for {pin driver} $v::nets { puts $channel "net $driver $pin" }
  dict for {slave master} $v::wires { puts $channel "wire $master $slave" }
  dict for {path at} $v::addresses { puts $channel "address $path $at" }
  dict for {object found} $v::properties {
    dict for {name value} $found { puts $channel "property $object $name $value" }
  }
  close $channel
}
